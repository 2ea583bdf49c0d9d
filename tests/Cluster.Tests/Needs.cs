using KlineOrleans.Testing;

namespace KlineOrleans.Cluster.Tests;

/// <summary>What a test of this room cannot do without. Where it is missing the test is skipped by name.</summary>
internal static class Needs
{
    public static void Postgres() => Assert.SkipUnless(PostgresDatabase.Exists, PostgresDatabase.SkipReason);

    public static void Orleans() => Assert.SkipUnless(TestEngine.EngineName == "Orleans", "Only the engine Microsoft Orleans has clusters, and this build is on InProcess");

    public static void OrleansAndPostgres()
    {
        Orleans();
        Postgres();
    }

    /// <summary>A number in the environment, for runs longer than those of ./test.</summary>
    public static int Given(string variable, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), System.Globalization.CultureInfo.InvariantCulture, out var given) ? given : otherwise;
}

using System.Reflection;
using System.Text.RegularExpressions;

namespace KlineOrleans.Web.Tests.Transports.SocketIo;

/// <summary>
/// Each test of the official suites (25 of Engine.IO, E1 to E25; 32 of Socket.IO, S1 to S32; in the suites' own order) has one here that states the same requirement, marked by
/// <c>[Trait("Requirement", "...")]</c>; and so has what the suites leave unchecked.
/// </summary>
public sealed partial class RequirementTests
{
    private static readonly string[] Unchecked =
        ["bodies of refusals", "413", "1009", "CORS", "CORS preflight", "CORS allow-list", "connect timeout", "order through the upgrade", "200 clients upgrade under load", "slow consumer", "close race", "failed upgrade loses nothing"];

    [Fact]
    public void Each_requirement_of_the_official_suites_has_a_test_of_ours()
    {
        var marks = typeof(RequirementTests).Assembly.GetTypes()
            .SelectMany(static type => type.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly))
            .SelectMany(static method => method.GetCustomAttributes<TraitAttribute>())
            .Where(static trait => trait.Name == "Requirement")
            .Select(static trait => trait.Value).ToList();
        var numbers = marks.SelectMany(static mark => Number().Matches(mark).Select(static m => m.Value)).ToHashSet(StringComparer.Ordinal);
        var wanted = Enumerable.Range(1, 25).Select(static n => $"E{n}").Concat(Enumerable.Range(1, 32).Select(static n => $"S{n}"));
        Assert.Empty(wanted.Except(numbers, StringComparer.Ordinal));
        Assert.Empty(Unchecked.Except(marks.SelectMany(static mark => mark.Split(", ")), StringComparer.Ordinal));
    }

    [GeneratedRegex(@"\b[ES]\d+\b")]
    private static partial Regex Number();
}

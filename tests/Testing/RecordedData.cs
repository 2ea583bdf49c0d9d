using System.Reflection;

namespace KlineOrleans.Testing;

/// <summary>Recorded real data. It lies beside the repository (../shared/data) and is never copied into it.</summary>
public static class RecordedData
{
    /// <summary>The repository's root folder.</summary>
    public static string RepositoryRoot { get; } =
        typeof(RecordedData).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "RepositoryRoot").Value!;

    // After the property above, which it needs: initializers run from top to bottom.
    private static readonly string? Root = Find();

    /// <summary>Whether the folder is on this machine.</summary>
    public static bool Exists => Root is not null;

    /// <summary>Why a test that needs it is skipped.</summary>
    public const string SkipReason = "the folder ../shared/data with the recorded data is not on this machine";

    /// <summary>The path of a recorded file, as in <c>PathOf("pumpfun", "derived-chain-ordered-trades.ndjson")</c>.</summary>
    /// <exception cref="InvalidOperationException">The folder is absent: check <see cref="Exists"/> first and skip.</exception>
    public static string PathOf(params ReadOnlySpan<string> parts) =>
        Path.Combine([Root ?? throw new InvalidOperationException(SkipReason), .. parts]);

    private static string? Find()
    {
        // A clone made for a check lies elsewhere: KLINE_SHARED names the folder then.
        var named = Environment.GetEnvironmentVariable("KLINE_SHARED");
        var path = Path.GetFullPath(string.IsNullOrEmpty(named) ? Path.Combine(RepositoryRoot, "..", "shared", "data") : Path.Combine(named, "data"));
        return Directory.Exists(path) ? path : null;
    }
}

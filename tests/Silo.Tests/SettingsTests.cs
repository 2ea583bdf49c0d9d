using KlineOrleans.Testing;

namespace KlineOrleans.Silo.Tests;

/// <summary>A wrong setting stops the start with one clear line: the key, the value, what is allowed.</summary>
public class SettingsTests
{
    public static TheoryData<string[], string[]> Wrong => new()
    {
        { ["--Kline:Sources:0:Kind", "Binance", "--Kline:Sources:0:MaxGap", "2.00:00:00"], ["Kline:Sources:0:MaxGap", "2.00:00:00"] },
        { ["--Kline:Sources:0:Kind", "Nonsense"], ["Kline:Sources:0:Kind", "Nonsense", "Replay"] },
        { ["--Kline:Sources:0:Kind", "Replay", "--Kline:Sources:0:Format", "Csv", "--Kline:Sources:0:Path", ServerProcess.ProgramPath], ["Kline:Sources:0:Format", "Csv", "BinanceAggTradesCsv"] },
        { ["--Kline:Sources:0:Kind", "Replay", "--Kline:Sources:0:Format", "SolanaLogs", "--Kline:Sources:0:Path", "/no/such/file"], ["Kline:Sources:0:Path", "/no/such/file"] },
        { ["--Kline:Sources:0:Kind", "Replay", "--Kline:Sources:0:Format", "BinanceAggTradesCsv", "--Kline:Sources:0:Path", ServerProcess.ProgramPath, "--Kline:Sources:0:Symbol", "X", "--Kline:Sources:0:Speed", "abc"], ["Kline:Sources:0:Speed", "abc"] },
        { ["--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:Sped", "1"], ["Kline:Sources:0:Sped"] },
        { ["--Kline:Intervals:0", "m7"], ["Kline:Intervals", "m7", "m5"] },
        { ["--Kline:Grace", "soon"], ["Kline:Grace", "soon"] },
        { ["--Kline:Storage:Provider", "Postgres"], ["Kline:Storage:ConnectionString", "missing", "Host="] },
        { ["--Kline:Storage:Retention:s1", "soon"], ["Kline:Storage:Retention:s1", "soon", "hh:mm:ss"] },
        { ["--Kline:Storage:Retention:m7", "7.00:00:00"], ["Kline:Storage:Retention:m7", "m7", "m5"] },
        { ["--Kline:IdleAfter", "00:00:01"], ["Kline:IdleAfter", "00:00:01", "00:00:10"] },
        { ["--Kline:Storage:Provider", "Oracle"], ["Kline:Storage:Provider", "Oracle", "Sqlite"] },
        { ["--Kline:Web:History:Max", "5000"], ["Kline:Web:History:Max", "5000", "1000"] },
        { ["--Kline:Web:History:Max", "many"], ["Kline:Web:History:Max", "many"] },
        { ["--Kline:Grase", "00:00:05"], ["Kline:Grase", "Grace"] },
        { ["--Kline:Storage:Pth", "x.db"], ["Kline:Storage:Pth", "Path"] },
        { ["--Kline:Web:Limits:Connection", "5"], ["Kline:Web:Limits:Connection:", "Connections"] },
        { ["--Kline:Web:Access:Keys:0:Nam", "x"], ["Kline:Web:Access:Keys:0:Nam:", "CanMint"] },
        { ["--Kline:Compat:Wicks", "true"], ["Kline:Compat:Wicks:", "WicksIgnoreOpen"] },
        { ["--Kline:Profile", "Fast"], ["Kline:Profile", "Fast", "Production"] },
        { ["--Kline:Otlp:Url", "x"], ["Kline:Otlp:Url", "Endpoint"] },
        { ["--urls", "nowhere"], ["urls", "nowhere"] },
        { ["--Kline:Grace"], ["Kline:Grace", "missing"] },
        { ["something"], ["something", "--key"] },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public async Task A_wrong_setting_stops_the_start_with_the_key_the_value_and_what_is_allowed(string[] settings, string[] named)
    {
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(named);
        using var folder = new TemporaryFolder();

        var (code, output) = await ServerProcess.RunToEnd(settings.Length == 1 ? settings : [.. settings, "--Kline:Storage:Path", folder["kline.db"]]);

        Assert.Equal(2, code);
        var lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Single(lines);
        Assert.All(named, part => Assert.Contains(part, lines[0].Replace(",", "", StringComparison.Ordinal), StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_production_profile_changes_defaults_and_what_is_set_by_hand_wins()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start(
            "--Kline:Storage:Path", folder["kline.db"], "--Kline:Profile", "Production", "--Kline:Web:Limits:SubscriptionsPerClient", "7", "--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:History", "00:01:00");

        var config = (await server.Get("/api/kline/status")).GetProperty("data").GetProperty("stats").GetProperty("config");

        Assert.Equal(120, config.GetProperty("ping_timeout").GetInt32());
        Assert.Equal(7, config.GetProperty("max_subscriptions_per_client").GetInt32());
    }

    [Fact]
    public async Task A_port_in_use_is_named()
    {
        using var folder = new TemporaryFolder();
        await using var first = await ServerProcess.Start("--Kline:Storage:Path", folder["a.db"]);

        var (code, output) = await ServerProcess.RunToEnd("--urls", first.Address.ToString(), "--Kline:Storage:Path", folder["b.db"]);

        Assert.Equal(1, code);
        Assert.Contains($"{first.Address.Port}", output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_store_in_use_is_named()
    {
        using var folder = new TemporaryFolder();
        await using var first = await ServerProcess.Start("--Kline:Storage:Path", folder["a.db"]);

        var (code, output) = await ServerProcess.RunToEnd("--Kline:Storage:Path", folder["a.db"]);

        Assert.Equal(1, code);
        Assert.Contains(folder["a.db"], output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_empty_configuration_runs_a_simulation_and_says_so()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start("--Kline:Storage:Path", folder["kline.db"]);
        await server.WaitFor("/health", h => h.GetProperty("sources") is { } s && s.GetArrayLength() == 1 && s[0].GetProperty("state").GetString() == "live");

        Assert.Contains($"KlineOrleans listens on {server.Address.ToString().TrimEnd('/')}", server.Output, StringComparison.Ordinal);
        Assert.Contains($"Engine: {TestEngine.EngineName}", server.Output, StringComparison.Ordinal);
        Assert.Contains("Source: simulation (Simulation, simulated trades)", server.Output, StringComparison.Ordinal);
        Assert.Equal(0, await server.Terminate());
    }
}

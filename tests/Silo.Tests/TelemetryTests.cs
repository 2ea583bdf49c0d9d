using System.Text.Json;
using KlineOrleans.Testing;

namespace KlineOrleans.Silo.Tests;

/// <summary>What leaves the server for those who watch it: OTLP and structured logs.</summary>
public class TelemetryTests
{
    private static readonly string[] Market = ["--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:Mints", "3", "--Kline:Sources:0:History", "00:01:00"];

    [Fact]
    public async Task A_collector_gets_meters_and_spans_of_every_room_under_their_names()
    {
        using var folder = new TemporaryFolder();
        await using var collector = await OtlpReceiver.Start();
        await using var server = await ServerProcess.Start(
        [
            .. Market, "--Kline:Storage:Path", folder["kline.db"], "--Kline:Otlp:Endpoint", collector.Address.ToString(), "--Kline:Otlp:Every", "00:00:01", "--Kline:Otlp:TraceRatio", "1",
            "--Kline:Otlp:Headers", "x-key=secret", "--Kline:Otlp:ServiceName", "klines-of-a-test", "--Kline:Otlp:InstanceId", "one",
        ]);
        var symbol = (await server.WaitFor("/api/v1/symbols?limit=1", found => found.GetProperty("symbols").GetArrayLength() > 0)).GetProperty("symbols")[0].GetProperty("symbol").GetString();
        await server.Get($"/api/v1/klines/{symbol}/m1");

        await collector.Until(c => new[] { ("KlineOrleans.Grains", "kline.trades"), ("KlineOrleans.Web", "kline.web.subscriptions"), ("KlineOrleans.Process", "process.cpu") }.All(c.Metrics.Contains)
            && c.Metrics.Any(m => m.Scope == "System.Runtime"));
        await collector.Until(c => new[] { ("KlineOrleans.Grains", "kline.ingest"), ("KlineOrleans.Grains", "kline.save"), ("KlineOrleans.Grains", "kline.checkpoint"), ("KlineOrleans.Web", "kline.history") }.All(c.Spans.Contains));

        Assert.Equal("secret", collector.Key);
        Assert.Equal("klines-of-a-test", collector.Resource["service.name"]);
        Assert.Equal("one", collector.Resource["service.instance.id"]);
        Assert.DoesNotContain("secret", server.Output, StringComparison.Ordinal);
        Assert.Equal(0, await server.Terminate());
    }

    [Theory]
    [InlineData("Kline:Otlp:Endpoint", "collector:4317", "http://127.0.0.1:4318")]
    [InlineData("Kline:Otlp:Protocol", "Udp", "Http, Grpc")]
    [InlineData("Kline:Otlp:Every", "30", "00:00:01 to 01:00:00")]
    [InlineData("Kline:Otlp:Traces", "some", "true or false")]
    [InlineData("Kline:Otlp:TraceRatio", "2", "0 to 1")]
    [InlineData("Kline:Otlp:Headers", "secret", "name=value")]
    [InlineData("Kline:Logs:Format", "Xml", "Text, Json")]
    public void A_wrong_value_is_refused_with_the_key_and_what_is_allowed(string key, string value, string allowed)
    {
        var builder = Setup.Startup.CreateBuilder([$"--{key}", value]);
        var line = Assert.Single(Assert.Throws<Ingest.ConfigurationException>(() =>
        {
            Setup.Logging.Configure(builder);
            Setup.Telemetry.Configure(builder);
        }).Errors);
        Assert.StartsWith(key + ":", line, StringComparison.Ordinal);
        Assert.Contains("Allowed: ", line, StringComparison.Ordinal);
        Assert.Contains(allowed, line, StringComparison.Ordinal);
        Assert.Equal(key != "Kline:Otlp:Headers", line.Contains(value, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_collector_that_is_away_keeps_the_server_neither_from_running_nor_from_stopping()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start([.. Market, "--Kline:Storage:Path", folder["kline.db"], "--Kline:Otlp:Endpoint", "http://127.0.0.1:1", "--Kline:Otlp:Every", "00:00:01"]);
        await server.WaitFor("/health", h => h.GetProperty("sources") is { } s && s.GetArrayLength() == 1 && s[0].GetProperty("state").GetString() == "live");
        Assert.Equal(0, await server.Terminate());
    }

    [Fact]
    public async Task Logs_in_JSON_are_objects_with_an_event_id_and_fields_by_name()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start([.. Market, "--Kline:Storage:Path", folder["kline.db"], "--Kline:Logs:Format", "Json"]);
        await server.WaitFor("/health", h => h.GetProperty("sources") is { } s && s.GetArrayLength() == 1 && s[0].GetProperty("state").GetString() == "live");
        await server.Terminate();

        var lines = server.Output.Split('\n').Where(l => l.StartsWith('{')).Select(l => JsonSerializer.Deserialize<JsonElement>(l)).ToList();
        Assert.All(lines, l => Assert.True(l.GetProperty("EventId").GetInt32() > 0, $"no event id: {l}"));
        var started = Assert.Single(lines, l => l.GetProperty("EventId").GetInt32() == 1101);
        Assert.Equal("simulation", started.GetProperty("State").GetProperty("Name").GetString());
    }
}

using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests;

public sealed class MinuteSummaryTests
{
    private const int EventId = 1530;

    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    [Fact]
    public async Task A_minute_ends_with_one_line_of_what_is_going_on()
    {
        var time = new ManualTimeProvider(TestKlines.Start);
        await using var host = await WebHost.Start(time: time);
        var mint = host.Cluster.Mint(WebHost.Mint);
        host.Cluster.Mint("OtherMintOtherMintOtherMintOtherMint");
        await using var client = await HubClient.Connect(host);
        await using var second = await HubClient.Connect(host);
        await client.Result("Subscribe", $$"""{"symbol":"{{WebHost.Mint}}","intervals":["m1","m5"]}""");
        await second.Result("Subscribe", $$"""{"symbol":"{{WebHost.Mint}}","intervals":["m1"]}""");
        await second.Result("Subscribe", """{"symbol":"OtherMintOtherMintOtherMintOtherMint","intervals":["m1"]}""");
        for (var i = 1; i <= 12; i++)
        {
            host.Cluster.Deliver(mint.Change(time.GetUtcNow(), TestKlines.Make(KlineInterval.M1, TestKlines.Start, i)));
            await client.Next("kline");
        }

        host.Cluster.Statuses["test"] = new SourceStatus { Name = "test", Kind = "Simulation", State = SourceState.Live, Trades = 300, Clock = time.GetUtcNow() + TimeSpan.FromSeconds(57.5) };
        await host.App.Services.GetRequiredService<SourceMonitor>().Poll(CancellationToken.None);
        time.Advance(Minute - TimeSpan.FromSeconds(1));
        Assert.Empty(host.Log.Events(EventId));
        time.Advance(TimeSpan.FromSeconds(1));

        var line = Assert.Single(host.Log.Events(EventId));
        Assert.Equal(2L, line["Connections"]);
        Assert.Equal(4L, line["Subscriptions"]);
        Assert.Equal(2, line["Mints"]);
        Assert.Equal($"{WebHost.Mint} 2, OtherMintOtherMintOtherMintOtherMint 1", line["TopMints"]);
        Assert.Equal(0.2, line["UpdatesPerSecond"]);
        Assert.Equal("test 2.5 s", line["Lag"]);
        Assert.Equal(5.0, line["TradesPerSecond"]);
        Assert.True((double)line["MessagesPerSecond"]! > 0);

        time.Advance(Minute);
        Assert.Equal(2, host.Log.Events(EventId).Count);
        Assert.Equal(0.0, host.Log.Events(EventId)[1]["UpdatesPerSecond"]);
        Assert.Equal(0.0, host.Log.Events(EventId)[1]["TradesPerSecond"]);
    }

    [Fact]
    public async Task A_minute_in_which_nothing_happens_has_its_line_too_and_five_mints_at_most_are_named()
    {
        var time = new ManualTimeProvider(TestKlines.Start);
        await using var host = await WebHost.Start(time: time);
        time.Advance(Minute);
        var line = Assert.Single(host.Log.Events(EventId));
        Assert.Equal((0L, "none", "none"), ((long)line["Connections"]!, line["TopMints"], line["Lag"]));

        await using var client = await HubClient.Connect(host);
        for (var i = 0; i < 7; i++)
        {
            var symbol = $"MintMintMintMintMintMintMintMint000{i}";
            host.Cluster.Mint(symbol);
            await client.Result("Subscribe", $$"""{"symbol":"{{symbol}}","intervals":["m1"]}""");
        }

        time.Advance(Minute);
        Assert.Equal(5, ((string)host.Log.Events(EventId)[1]["TopMints"]!).Split(", ").Length);
        Assert.Equal(7, host.Log.Events(EventId)[1]["Mints"]);
    }
}

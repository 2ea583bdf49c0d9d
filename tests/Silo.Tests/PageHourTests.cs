using System.Globalization;
using System.Text.Json;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Clients;

namespace KlineOrleans.Silo.Tests;

/// <summary>The chart page over an hour of market time, with everything that goes wrong in an hour.</summary>
public class PageHourTests
{
    private const int Trades = 9_000;

    // An hour in fifteen seconds; what comes ten minutes late is then two and a half seconds late.
    private const int Speed = 240;
    private static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);
    private static readonly string[] Symbols = ["SYM0USDT", "SYM1USDT", "SYM2USDT"];
    private static readonly string[] Intervals = ["s1", "s5", "s15", "s30", "m1", "m5", "m15", "m30", "h1", "h4", "d1", "w1"];

    [Fact]
    public async Task Pages_of_three_sizes_show_the_klines_of_the_API_after_an_hour_of_corrections_breaks_and_switches()
    {
        Chromium.SkipUnlessPossible();
        using var folder = new TemporaryFolder();
        await MadeUpTrades.WriteBinanceHour(folder["trades.jsonl"], Symbols.Length, Trades, seed: 1);
        await using var browser = await Chromium.Launch();
        var server = await Serve(folder);
        try
        {
            // Each page has a link of its own, so that one can break without the others.
            await using var wideLink = new TcpProxy(server.Address);
            await using var laptopLink = new TcpProxy(server.Address);
            await using var phoneLink = new TcpProxy(server.Address);
            await server.WaitFor("/api/v1/symbols", answer => answer.GetProperty("symbols").GetArrayLength() == Symbols.Length);
            var opened = await Task.WhenAll(
                browser.Open(new Uri(wideLink.Address, "/?symbol=SYM0USDT&interval=s1&chart=SYM1USDT:m1&chart=SYM0USDT:s5"), "wide", 1920, 1080),
                browser.Open(new Uri(laptopLink.Address, "/?symbol=SYM2USDT&interval=m1"), "laptop", 1024, 768),
                browser.Open(new Uri(phoneLink.Address, "/?symbol=SYM1USDT&interval=s15"), "phone", 390, 844));
            var (wide, laptop, phone) = (opened[0], opened[1], opened[2]);
            await Task.WhenAll(opened.Select(p => p.UntilDrawn()));

            await MarketReaches(server, 15);
            wideLink.Cut();
            wideLink.Mend();
            await Show(laptop, "SYM0USDT", "s5");
            await phone.Click("[data-interval=s1]");

            await MarketReaches(server, 22);
            phoneLink.Cut(reset: false);
            phoneLink.Mend();
            laptopLink.Cut();
            laptopLink.Mend();
            await Show(phone, "SYM2USDT", "m5");
            await Task.WhenAll(opened.Select(Moves));
            Assert.Equal([], opened.SelectMany(p => p.Complaints));

            // The server dies and comes back. What Chromium itself writes of addresses that do not answer is no fault of the page.
            await MarketReaches(server, 30);
            await server.Kill();
            await server.DisposeAsync();
            await Task.WhenAll(opened.Select(p => p.Until("() => __kline.state.link === 'reconnecting' && document.getElementById('state-word').textContent === 'Reconnecting'")));
            server = await Serve(folder, "--urls", server.Address.ToString());
            await Task.WhenAll(opened.Select(async page =>
            {
                await page.Until("() => __kline.state.link === 'connected'");
                await Moves(page);
            }));
            Assert.DoesNotContain(opened.SelectMany(p => p.TakeComplaints()), c => !(c.Contains("Failed to load resource: net::ERR_", StringComparison.Ordinal) && c.Contains("/hubs/kline", StringComparison.Ordinal)));

            await Show(laptop, "SYM1USDT", "s1");
            await Show(phone, "SYM0USDT", "s15");
            await MarketReaches(server, 50);
            wideLink.Cut(reset: false);
            wideLink.Mend();
            await server.WaitForEnd();

            // First what came live, then all there is, then every interval anew.
            await Equal(opened, server);
            await Task.WhenAll(opened.Select(LoadAll));
            var klines = await Equal(opened, server);
            Assert.True(klines.Where(k => k.Interval == "s1").Sum(k => k.Corrected) > 100, "hardly a kline was corrected: the test proves nothing");
            foreach (var interval in Intervals)
            {
                await Task.WhenAll(((WatchedPage[])[laptop, phone]).Select(async page =>
                {
                    await page.Click($"[data-interval={interval}]");
                    await Settled(page, null, interval);
                }));
                await Equal([laptop, phone], server);
            }

            Assert.Equal([], opened.SelectMany(p => p.Complaints));
        }
        finally
        {
            await server.DisposeAsync();
        }
    }

    private static Task<ServerProcess> Serve(TemporaryFolder folder, params string[] more) => ServerProcess.Start([
        "--Kline:Sources:0:Kind", "Replay", "--Kline:Sources:0:Format", "BinanceFrames", "--Kline:Sources:0:Path", folder["trades.jsonl"],
        "--Kline:Sources:0:Speed", Speed.ToString(CultureInfo.InvariantCulture), "--Kline:Storage:Path", folder["kline.db"], "--Kline:Web:PagePath", Chromium.PagePath, .. more]);

    private static Task MarketReaches(ServerProcess server, int minute) =>
        server.WaitFor("/health", health => health.GetProperty("sources")[0].GetProperty("clock").GetInt64() >= Start.AddMinutes(minute).ToUnixTimeMilliseconds());

    /// <summary>The page gets updates now.</summary>
    private static async Task Moves(WatchedPage page) => await page.Until("updates => __kline.state.updates > updates", await page.Ask<int>("__kline.state.updates"));

    /// <summary>Chooses a symbol by its name in the search, and an interval, as a person does.</summary>
    private static async Task Show(WatchedPage page, string symbol, string interval)
    {
        await page.Click("#search-input");
        await page.Type(symbol);
        await page.Until("symbol => document.querySelector('#search-list [role=option]')?.textContent.includes(symbol) && document.querySelectorAll('#search-list [role=option]').length === 1", symbol);
        await page.Press("Enter");
        await page.Click($"[data-interval={interval}]");
        await Settled(page, symbol, interval);
    }

    private static Task Settled(WatchedPage page, string? symbol, string interval) =>
        page.Until("([symbol, interval]) => (symbol === null || __kline.symbol === symbol) && __kline.interval === interval && __kline.klines().length > 0 && __kline.klines().every(k => k.interval === interval)", new[] { symbol, interval });

    /// <summary>Scrolls every chart of the page to the left until there is no older kline.</summary>
    private static async Task LoadAll(WatchedPage page)
    {
        var charts = await page.Ask<int>("__kline.charts.length");
        for (var chart = 0; chart < charts; chart++)
        {
            await page.Focus($".chart-box:nth-of-type({chart + 1}) [data-part=canvas]");
            var began = TimeProvider.System.GetTimestamp();
            while (!await page.Ask<bool>("chart => __kline.charts[chart].historyComplete", chart))
            {
                Assert.True(TimeProvider.System.GetElapsedTime(began) < Chromium.Patience, $"{page.Size}: history has no beginning");
                await page.Press("Shift+ArrowLeft");
            }
        }
    }

    /// <summary>Waits until each chart of the pages draws what the API says of its time, to its newest kline, and fails if that does not come.</summary>
    private static async Task<List<(string Interval, int Corrected)>> Equal(IReadOnlyList<WatchedPage> pages, ServerProcess server)
    {
        List<(string, int)> found = [];
        foreach (var page in pages)
        {
            var charts = await page.Ask<int>("__kline.charts.length");
            for (var chart = 0; chart < charts; chart++)
            {
                var began = TimeProvider.System.GetTimestamp();
                while (true)
                {
                    var shown = JsonDocument.Parse(await page.Ask<string>("chart => JSON.stringify(__kline.charts[chart])", chart)).RootElement;
                    var (symbol, interval) = (shown.GetProperty("symbol").GetString()!, shown.GetProperty("interval").GetString()!);
                    var drawn = shown.GetProperty("drawn").EnumerateArray().Select(k => Row(k, "volume")).ToList();
                    if (drawn.Count == 0)
                    {
                        // What it has is drawn with the next frame.
                        Assert.True(TimeProvider.System.GetElapsedTime(began) < Chromium.Patience, $"{page.Size}, chart {chart} of {symbol} {interval}: nothing is drawn");
                        continue;
                    }

                    var klines = await server.GetKlines(symbol, interval, drawn[0].OpenTime, Start.AddDays(30).ToUnixTimeMilliseconds(), exact: false);
                    var expected = klines.Select(k => Row(k, "baseVolume")).ToList();
                    if (drawn.SequenceEqual(expected) || TimeProvider.System.GetElapsedTime(began) > Chromium.Patience)
                    {
                        Assert.True(drawn.SequenceEqual(expected), $"{page.Size}, chart {chart} of {symbol} {interval}: {drawn.Count} drawn, {expected.Count} of the API; drawn only {string.Join(", ", drawn.Except(expected).Take(3))}; of the API only {string.Join(", ", expected.Except(drawn).Take(3))}");
                        if (shown.GetProperty("historyComplete").GetBoolean())
                        {
                            Assert.Empty(await server.GetKlines(symbol, interval, 0, drawn[0].OpenTime, exact: false));
                        }

                        found.Add((interval, klines.Count(k => k.GetProperty("revision").GetInt32() > 0)));
                        break;
                    }
                }
            }
        }

        return found;
    }

    private static (long OpenTime, double Open, double High, double Low, double Close, double Volume) Row(JsonElement kline, string volume) => (
        kline.GetProperty("openTime").GetInt64(), kline.GetProperty("open").GetDouble(), kline.GetProperty("high").GetDouble(), kline.GetProperty("low").GetDouble(),
        kline.GetProperty("close").GetDouble(), kline.GetProperty(volume).GetDouble());
}

using System.Globalization;
using System.Reflection;
using System.Text.Json;
using Microsoft.Playwright;

namespace KlineOrleans.Interop.Tests;

/// <summary>The machine's Chromium, with the browser builds of the clients, in a page of the real server's own origin.</summary>
/// <remarks>Uses /usr/bin/chromium, or what CHROMIUM names; skipped without it.</remarks>
public sealed class BrowserTests
{
    private static readonly string Browser = Environment.GetEnvironmentVariable("CHROMIUM") is { Length: > 0 } named ? named : "/usr/bin/chromium";
    private static readonly string Root = typeof(BrowserTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "RepositoryRoot").Value!;
    private static readonly string Clients = Path.Combine(Root, "tests", "Interop.Tests", "clients");
    private const string Drawn = "() => window.__kline?.state.link === 'connected' && __kline.klines().length > 0";
    private static readonly string Charts = Path.Combine(Root, "src", "Web", "ClientApp", "node_modules", "lightweight-charts", "dist", "lightweight-charts.standalone.production.js");

    // What a page evaluates has no limit of its own, whatever the page's is.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    [Fact]
    public async Task Page_follows_klines_over_every_wire_and_hears_each_refusal()
    {
        await SkipUnlessPossible();
        await using var server = await KlineServer.StartAsync(true, ["--Kline:Web:Limits:SubscriptionsPerClient", "6", "--Kline:Web:Limits:MessageBurst", "40"]);
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Launch(playwright);
        var page = await Open(browser, server);
        var symbol = await server.FirstSymbolAsync();
        await Task.WhenAll(((string[])["polling", "websocket", "default", "raw", "hub"]).Select(async wire =>
            Ok(await page.EvaluateAsync<string>("([wire, key, symbol]) => walk[wire](key, symbol).then(() => 'ok', (error) => `${wire}: ${error.stack}`)", new[] { wire, KlineServer.Key, symbol }).WaitAsync(Patience))));
    }

    [Fact]
    public async Task Page_hears_that_the_store_is_away_and_that_the_server_is_busy()
    {
        await SkipUnlessPossible();
        await using var server = await KlineServer.StartAsync(true, ["--Kline:Web:Limits:Connections", "4", "--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:History", "00:20:00"]);
        await server.TakeKlinesAwayAsync();
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Launch(playwright);
        var page = await Open(browser, server);
        Ok(await page.EvaluateAsync<string>("([key, symbol]) => walk.troubles(key, symbol).then(() => 'ok', (error) => `${error.stack}`)", new[] { KlineServer.Key, await server.FirstSymbolAsync() }).WaitAsync(Patience));
    }

    [Fact]
    public async Task Chart_that_is_fed_from_udf_shows_the_klines_of_the_api()
    {
        await SkipUnlessPossible();
        Assert.SkipUnless(File.Exists(Charts), "lightweight-charts is not installed (npm ci in src/Web/ClientApp)");
        await using var server = await KlineServer.StartAsync(false, ["--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:History", "00:40:00"]);
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Launch(playwright);
        var page = await Open(browser, server);
        await page.AddScriptTagAsync(new() { Path = Charts });
        var symbol = await server.FirstSymbolAsync();
        var seen = 0;
        foreach (var (resolution, interval, seconds) in ((string, string, int)[])[("1S", "s1", 1), ("5S", "s5", 5), ("1", "m1", 60), ("5", "m5", 300)])
        {
            // What is final and will not be corrected while this looks at it twice.
            var newest = (await server.GetAsync($"/api/v1/klines/{symbol}/{interval}?limit=1")).GetProperty("klines")[0].GetProperty("openTime").GetInt64() / 1_000;
            var to = newest - Math.Max(60, seconds);
            var from = to - (300 * seconds);
            using var drawn = JsonDocument.Parse(await page.EvaluateAsync<string>("([s, r, from, to]) => drawUdf(s, r, from, to)", new object[] { symbol, resolution, from, to }).WaitAsync(Patience));
            var klines = (await server.GetAsync(string.Create(CultureInfo.InvariantCulture, $"/api/v1/klines/{symbol}/{interval}?from={from * 1_000}&to={to * 1_000}&limit=1000"))).GetProperty("klines");
            Assert.Equal(
                klines.EnumerateArray().Select(k => (k.GetProperty("openTime").GetInt64() / 1_000, k.GetProperty("open").GetDouble(), k.GetProperty("high").GetDouble(), k.GetProperty("low").GetDouble(), k.GetProperty("close").GetDouble())),
                drawn.RootElement.EnumerateArray().Select(b => (b.GetProperty("time").GetInt64(), b.GetProperty("open").GetDouble(), b.GetProperty("high").GetDouble(), b.GetProperty("low").GetDouble(), b.GetProperty("close").GetDouble())));
            seen += klines.GetArrayLength();
        }

        Assert.True(seen > 20, $"{seen} klines");
    }

    [Fact]
    public async Task Chart_page_asks_for_a_key_where_one_is_needed_and_keeps_it_for_the_tab()
    {
        await SkipUnlessPossible();
        var built = Path.Combine(Root, "src", "Web", "wwwroot");
        Assert.SkipUnless(File.Exists(Path.Combine(built, "index.html")), "the chart page is not built (npm is needed)");
        await using var server = await KlineServer.StartAsync(true, ["--Kline:Web:PagePath", built]);
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Launch(playwright);
        var page = await browser.NewPageAsync();
        page.SetDefaultTimeout(60_000);
        await page.GotoAsync(server.Url);
        await page.WaitForFunctionAsync("() => document.querySelector('[data-part=notice-title]').textContent === 'This server asks for a key'");
        await page.FillAsync("[data-part=access] input", "wrong-wrong-wrong-wrong");
        await page.ClickAsync("[data-part=access] button");
        await page.WaitForFunctionAsync("() => document.querySelector('[data-part=notice-title]').textContent === 'The key is not accepted'");
        Assert.Equal("No access", await page.TextContentAsync("#state-word"));
        await page.FillAsync("[data-part=access] input", KlineServer.Key);
        await page.Keyboard.PressAsync("Enter");
        await page.WaitForFunctionAsync(Drawn);
        await page.ReloadAsync();
        await page.WaitForFunctionAsync(Drawn);
        Assert.True(await page.IsHiddenAsync("[data-part=access]"));
        Assert.DoesNotContain(KlineServer.Key, page.Url, StringComparison.Ordinal);
        var other = await browser.NewPageAsync();
        other.SetDefaultTimeout(60_000);
        await other.GotoAsync(server.Url);
        await other.WaitForFunctionAsync("() => __kline.state.link === 'refused'");
    }

    // Whole, where it is not: what did not come is in it, and what came instead.
    private static void Ok(string answer) => Assert.True(answer == "ok", answer);

    private static async Task SkipUnlessPossible()
    {
        Assert.SkipUnless(File.Exists(Browser), $"the browser {Browser} is not on this machine");
        var whyNot = await NodeClients.WhyNotAsync();
        Assert.SkipWhen(whyNot is not null, whyNot ?? "");
    }

    private static Task<IBrowser> Launch(IPlaywright playwright) =>
        playwright.Chromium.LaunchAsync(new() { ExecutablePath = Browser, Args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"] });

    /// <summary>A page of the server's origin that loads the clients. It has no other content.</summary>
    private static async Task<IPage> Open(IBrowser browser, KlineServer server)
    {
        var page = await browser.NewPageAsync(new() { BypassCSP = true });
        page.SetDefaultTimeout(60_000);
        await page.GotoAsync(server.Url + "/health/live");
        foreach (var script in (string[])["node_modules/socket.io-client/dist/socket.io.js", "node_modules/@microsoft/signalr/dist/browser/signalr.js", "browser.js"])
        {
            await page.AddScriptTagAsync(new() { Path = Path.Combine(Clients, script) });
        }

        return page;
    }
}

using KlineOrleans.Testing;
using Microsoft.Playwright;

namespace KlineOrleans.Silo.Tests;

/// <summary>The chart page as a person sees it: the real server, the built page, Chromium.</summary>
/// <remarks>Uses the browser of the machine (/usr/bin/chromium, or what CHROMIUM names) and the page that ./run or ./test built; fetches neither.</remarks>
public class PageTests
{
    private const float Patience = 30_000;

    // What the page shows, as it tells it itself (see src/Web/ClientApp/src/main.ts).
    private const string Drawn = "() => window.__kline?.klines().length > 0 && __kline.state.link === 'connected' && __kline.state.feed !== undefined";

    private static readonly string Browser = Environment.GetEnvironmentVariable("CHROMIUM") is { Length: > 0 } named ? named : "/usr/bin/chromium";
    private static readonly string PagePath = Path.Combine(RecordedData.RepositoryRoot, "src", "Web", "wwwroot");

    [Theory]
    [InlineData("wide", 1440, 900)]
    [InlineData("phone", 390, 844)]
    public async Task The_page_shows_klines_that_move(string name, int width, int height)
    {
        SkipUnlessPossible();
        using var folder = new TemporaryFolder();
        await using var server = await Simulation(folder);
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Launch(playwright);
        var (page, complaints) = await Open(browser, server, width, height);

        var updates = await page.EvaluateAsync<int>("__kline.state.updates");
        await page.WaitForFunctionAsync("updates => __kline.state.updates > updates", updates);
        var newest = await page.EvaluateAsync<long>("__kline.klines().at(-1).openTime");
        await page.ClickAsync("[data-interval=s1]");
        await page.WaitForFunctionAsync("() => __kline.interval === 's1' && __kline.klines().length > 1 && __kline.klines().every(k => k.interval === 's1')");
        await page.WaitForFunctionAsync("newest => __kline.klines().at(-1).openTime > newest", newest);

        Assert.True(await page.EvaluateAsync<bool>("__kline.klines().every((k, i, all) => (i === 0 || all[i - 1].openTime < k.openTime) && k.low <= Math.min(k.open, k.close) && k.high >= Math.max(k.open, k.close))"));
        Assert.True(await page.EvaluateAsync<bool>("document.documentElement.scrollWidth <= innerWidth"), $"{name}: something is wider than the page");
        Assert.True(await page.EvaluateAsync<int>(Colours) > 3, $"{name}: the chart is not painted");
        await page.WaitForFunctionAsync("() => document.getElementById('state-word').textContent === 'Live'");
        Assert.True(await page.IsVisibleAsync("#simulated"), $"{name}: nothing says that the trades are simulated");
        Assert.Equal([], complaints);
    }

    [Fact]
    public async Task Another_symbol_is_found_by_search_and_shows_its_own_klines()
    {
        SkipUnlessPossible();
        using var folder = new TemporaryFolder();
        await using var server = await Simulation(folder);
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Launch(playwright);
        var (page, complaints) = await Open(browser, server, 1440, 900);
        var first = await page.EvaluateAsync<string>("__kline.symbol");

        await page.Keyboard.PressAsync("/");
        await page.WaitForSelectorAsync("#search-list [role=option]");
        await page.Keyboard.PressAsync("ArrowDown");
        await page.Keyboard.PressAsync("Enter");
        await page.WaitForFunctionAsync("first => __kline.symbol !== first && __kline.klines().length > 0", first);

        var second = await page.EvaluateAsync<string>("__kline.symbol");
        var (openTime, close) = (await page.EvaluateAsync<long>("__kline.klines()[0].openTime"), await page.EvaluateAsync<double>("__kline.klines()[0].close"));
        var kline = Assert.Single((await server.Get($"/api/v1/klines/{second}/m1?from={openTime}&to={openTime + 1}")).GetProperty("klines").EnumerateArray());
        Assert.Equal(close, kline.GetProperty("close").GetDouble());
        Assert.Contains(second, page.Url, StringComparison.Ordinal);
        Assert.Equal([], complaints);
    }

    [Fact]
    public async Task A_page_whose_server_is_killed_and_started_again_goes_on_where_the_server_does()
    {
        SkipUnlessPossible();
        using var folder = new TemporaryFolder();
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await Launch(playwright);
        IPage page;
        Uri address;
        long newest;
        await using (var server = await Simulation(folder))
        {
            address = server.Address;
            (page, _) = await Open(browser, server, 1440, 900);
            newest = await page.EvaluateAsync<long>("__kline.klines().at(-1).openTime");
            await server.Kill();
        }

        await page.WaitForFunctionAsync("() => __kline.state.link === 'reconnecting'");
        Assert.Equal("Reconnecting", await page.TextContentAsync("#state-word"));

        await using var again = await Simulation(folder, "--urls", address.ToString());
        await page.WaitForFunctionAsync("() => __kline.state.link === 'connected'");
        var updates = await page.EvaluateAsync<int>("__kline.state.updates");
        await page.WaitForFunctionAsync("updates => __kline.state.updates > updates", updates);
        Assert.True(await page.EvaluateAsync<bool>("newest => __kline.klines().some(k => k.openTime === newest)", newest));
    }

    private const string Colours = """
        () => {
          const canvas = [...document.querySelectorAll('[data-focused] .chart canvas')].sort((a, b) => b.width * b.height - a.width * a.height)[0];
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          const found = new Set();
          for (let i = 0; i < data.length; i += 4) found.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
          return found.size;
        }
        """;

    private static void SkipUnlessPossible()
    {
        Assert.SkipUnless(File.Exists(Browser), $"the browser {Browser} is not on this machine");
        Assert.SkipUnless(File.Exists(Path.Combine(PagePath, "index.html")), "the chart page is not built (npm is needed)");
    }

    private static Task<ServerProcess> Simulation(TemporaryFolder folder, params string[] more) =>
        ServerProcess.Start(["--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:History", "00:20:00", "--Kline:Storage:Path", folder["kline.db"], "--Kline:Web:PagePath", PagePath, .. more]);

    private static Task<IBrowser> Launch(IPlaywright playwright) =>
        playwright.Chromium.LaunchAsync(new() { ExecutablePath = Browser, Args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"] });

    /// <summary>Opens the page and waits until klines are drawn. What the page complains of on its console is collected.</summary>
    private static async Task<(IPage Page, List<string> Complaints)> Open(IBrowser browser, ServerProcess server, int width, int height)
    {
        var page = await browser.NewPageAsync(new() { ViewportSize = new() { Width = width, Height = height } });
        page.SetDefaultTimeout(Patience);
        var complaints = new List<string>();
        page.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning")
            {
                complaints.Add(message.Text);
            }
        };
        page.PageError += (_, error) => complaints.Add(error);
        await page.GotoAsync(server.Address.ToString());
        await page.WaitForFunctionAsync(Drawn);
        return (page, complaints);
    }
}

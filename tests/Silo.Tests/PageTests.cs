using KlineOrleans.Testing;

namespace KlineOrleans.Silo.Tests;

/// <summary>The chart page as a person sees it: the real server, the built page, Chromium.</summary>
/// <remarks>Uses the browser of the machine and the page that ./run or ./test built; fetches neither.</remarks>
public class PageTests
{
    [Theory]
    [InlineData("wide", 1440, 900)]
    [InlineData("phone", 390, 844)]
    public async Task The_page_shows_klines_that_move(string name, int width, int height)
    {
        Chromium.SkipUnlessPossible();
        using var folder = new TemporaryFolder();
        await using var server = await Simulation(folder);
        await using var browser = await Chromium.Launch();
        var page = await Open(browser, server, name, width, height);

        var updates = await page.Ask<int>("__kline.state.updates");
        await page.Until("updates => __kline.state.updates > updates", updates);
        var newest = await page.Ask<long>("__kline.klines().at(-1).openTime");
        await page.Click("[data-interval=s1]");
        await page.Until("() => __kline.interval === 's1' && __kline.klines().length > 1 && __kline.klines().every(k => k.interval === 's1')");
        await page.Until("newest => __kline.klines().at(-1).openTime > newest", newest);

        Assert.True(await page.Ask<bool>("__kline.klines().every((k, i, all) => (i === 0 || all[i - 1].openTime < k.openTime) && k.low <= Math.min(k.open, k.close) && k.high >= Math.max(k.open, k.close))"));
        Assert.True(await page.Ask<bool>("document.documentElement.scrollWidth <= innerWidth"), $"{name}: something is wider than the page");
        Assert.True(await page.Ask<int>(Colours) > 3, $"{name}: the chart is not painted");
        await page.Until("() => document.getElementById('state-word').textContent === 'Live'");
        Assert.True(await page.IsVisible("#simulated"), $"{name}: nothing says that the trades are simulated");
        Assert.Equal([], page.Complaints);
    }

    [Fact]
    public async Task Another_symbol_is_found_by_search_and_shows_its_own_klines()
    {
        Chromium.SkipUnlessPossible();
        using var folder = new TemporaryFolder();
        await using var server = await Simulation(folder);
        await using var browser = await Chromium.Launch();
        var page = await Open(browser, server);
        var first = await page.Ask<string>("__kline.symbol");

        await page.Press("/");
        await page.Until("() => document.querySelector('#search-list [role=option]') !== null");
        await page.Press("ArrowDown");
        await page.Press("Enter");
        await page.Until("first => __kline.symbol !== first && __kline.klines().length > 0", first);

        var second = await page.Ask<string>("__kline.symbol");
        var (openTime, close) = (await page.Ask<long>("__kline.klines()[0].openTime"), await page.Ask<double>("__kline.klines()[0].close"));
        var kline = Assert.Single((await server.Get($"/api/v1/klines/{second}/m1?from={openTime}&to={openTime + 1}")).GetProperty("klines").EnumerateArray());
        Assert.Equal(close, kline.GetProperty("close").GetDouble());
        Assert.Contains(second, page.Url, StringComparison.Ordinal);
        Assert.Equal([], page.Complaints);
    }

    [Fact]
    public async Task A_page_whose_server_is_killed_and_started_again_goes_on_where_the_server_does()
    {
        Chromium.SkipUnlessPossible();
        using var folder = new TemporaryFolder();
        await using var browser = await Chromium.Launch();
        WatchedPage page;
        Uri address;
        long newest;
        await using (var server = await Simulation(folder))
        {
            address = server.Address;
            page = await Open(browser, server);
            newest = await page.Ask<long>("__kline.klines().at(-1).openTime");
            await server.Kill();
        }

        await page.Until("() => __kline.state.link === 'reconnecting'");
        Assert.Equal("Reconnecting", await page.Text("#state-word"));

        await using var again = await Simulation(folder, "--urls", address.ToString());
        await page.Until("() => __kline.state.link === 'connected'");
        var updates = await page.Ask<int>("__kline.state.updates");
        await page.Until("updates => __kline.state.updates > updates", updates);
        Assert.True(await page.Ask<bool>("newest => __kline.klines().some(k => k.openTime === newest)", newest));
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

    private static Task<ServerProcess> Simulation(TemporaryFolder folder, params string[] more) =>
        ServerProcess.Start(["--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:History", "00:20:00", "--Kline:Storage:Path", folder["kline.db"], "--Kline:Web:PagePath", Chromium.PagePath, .. more]);

    private static async Task<WatchedPage> Open(Chromium browser, ServerProcess server, string size = "wide", int width = 1440, int height = 900)
    {
        var page = await browser.Open(server.Address, size, width, height);
        await page.UntilDrawn();
        return page;
    }
}

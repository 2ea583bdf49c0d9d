using System.IO.Compression;
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

        // Under the crosshair stands the close to its last digit; a run of zeros is counted in small figures.
        await page.Hover("[data-focused] [data-part=canvas]");
        await page.Until("""
            () => {
              const text = document.querySelector('[data-focused] [data-field=close]').textContent.replaceAll(',', '');
              const close = Number(text.replace(/0([₀-₉]+)/, (_, count) => '0'.repeat([...count].reduce((sum, digit) => sum * 10 + '₀₁₂₃₄₅₆₇₈₉'.indexOf(digit), 0))));
              return __kline.klines().some(kline => kline.close === close);
            }
            """);
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

    [Fact]
    public async Task Status_shows_sources_clients_grains_and_store_and_has_JSON_behind_it()
    {
        Chromium.SkipUnlessPossible();
        using var folder = new TemporaryFolder();
        await using var server = await Simulation(folder);
        await using var browser = await Chromium.Launch();
        var chart = await Open(browser, server);
        var updates = await chart.Ask<int>("__kline.state.updates");
        await chart.Until("updates => __kline.state.updates > updates + 2", updates);

        // Klines are stored once their grains have saved, a few seconds after they are final.
        var answer = await server.WaitFor("/api/v1/status", status =>
            status.GetProperty("grains").GetProperty("klinesArchived").GetInt64() > 0 && status.GetProperty("web").GetProperty("latency_ms").GetProperty("count").GetInt64() > 0);
        var source = Assert.Single(answer.GetProperty("health").GetProperty("sources").EnumerateArray());
        Assert.Equal("live", source.GetProperty("state").GetString());
        Assert.True(source.GetProperty("simulated").GetBoolean());
        Assert.InRange(answer.GetProperty("time").GetInt64() - source.GetProperty("clock").GetInt64(), -2_000, 30_000);
        var web = answer.GetProperty("web");
        Assert.Equal(1, web.GetProperty("connections_by_wire").GetProperty("signalr").GetInt32());
        Assert.Equal(1, web.GetProperty("total_subscriptions").GetInt32());
        Assert.Equal(1, web.GetProperty("monitored_mints").GetInt32());
        Assert.Equal(0, web.GetProperty("closed_as_slow").GetInt32());
        Assert.True(web.GetProperty("latency_ms").GetProperty("p99").GetDouble() >= web.GetProperty("latency_ms").GetProperty("p50").GetDouble());
        Assert.Equal(source.GetProperty("mints").GetInt32(), answer.GetProperty("grains").GetProperty("active").GetInt32());
        Assert.True(answer.GetProperty("grains").GetProperty("tradesApplied").GetInt64() > 0);
        Assert.True(answer.GetProperty("storage").GetProperty("fileBytes").GetInt64() > 0);
        Assert.True(answer.GetProperty("storage").GetProperty("rowsWritten").GetInt64() > 0);
        Assert.True(answer.GetProperty("process").GetProperty("memoryBytes").GetInt64() > 1_000_000);

        var page = await browser.Open(new Uri(server.Address, "/status"));
        await page.Until("() => document.getElementById('state-word').textContent === 'All well'");
        await page.Until("() => [...document.querySelectorAll('#tiles b')].every(tile => /\\d/.test(tile.textContent))");
        Assert.Equal("live", await page.Text("#sources td:nth-child(2)"));
        await page.Until("() => document.querySelector('#wires').textContent === 'signalr1'");
        await page.Until("symbol => document.querySelector('#top').textContent === `${symbol}1`", await chart.Ask<string>("__kline.symbol"));

        // It is live, and each figure has its plot.
        var uptime = await page.Text("#about");
        await page.Until("before => document.getElementById('about').textContent !== before", uptime);
        Assert.True(await page.Ask<bool>("[...document.querySelectorAll('#tiles canvas')].every(canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(value => value > 0))"), "a plot is empty");
        await page.Click("summary");
        await page.Until("() => document.querySelector('#metrics').textContent.includes('kline_web_connections')");
        await chart.Close();
        await page.Until("() => document.querySelector('#wires').textContent === 'No client is connected.'");
        await server.Kill();
        await page.Until("() => document.getElementById('state-word').textContent === 'No answer'");
        Assert.DoesNotContain(page.Complaints, complaint => !complaint.Contains("net::ERR_", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_page_comes_in_less_than_200_kB_and_shows_its_first_candle_within_a_second()
    {
        Chromium.SkipUnlessPossible();
        using var folder = new TemporaryFolder();
        await using var server = await Simulation(folder);
        await using var browser = await Chromium.Launch();
        var fastest = double.MaxValue;
        var began = TimeProvider.System.GetTimestamp();
        while (fastest >= 1_000 && TimeProvider.System.GetElapsedTime(began) < Chromium.Patience)
        {
            // Nothing of the page before is in the new one's cache. A machine that does much else gets more attempts.
            var page = await browser.Open(server.Address);
            await page.UntilDrawn();
            fastest = Math.Min(fastest, await page.Ask<double>("performance.getEntriesByName('first candle')[0].startTime"));
            var bytes = await page.Ask<double>("[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].filter(each => !each.name.includes('/hubs/')).reduce((sum, each) => sum + each.transferSize, 0)");
            Assert.InRange(bytes, 10_000, 200_000);
            TestContext.Current.TestOutputHelper?.WriteLine($"{bytes} bytes, first candle after {fastest:F0} ms");
            await page.Close();
        }

        Assert.True(fastest < 1_000, $"the first candle came after {fastest:F0} ms");
    }

    [Fact]
    public async Task Each_file_of_the_page_comes_as_the_client_takes_it()
    {
        Assert.SkipUnless(File.Exists(Path.Combine(Chromium.PagePath, "index.html")), "the chart page is not built (npm is needed)");
        using var folder = new TemporaryFolder();
        await using var server = await Simulation(folder);
        foreach (var path in (string[])["/", "/status", .. Directory.GetFiles(Path.Combine(Chromium.PagePath, "assets"), "*.js").Select(file => "/assets/" + Path.GetFileName(file))])
        {
            var plain = await File.ReadAllTextAsync(Path.Combine(Chromium.PagePath, path switch { "/" => "index.html", "/status" => "status.html", _ => path[1..] }));
            foreach (var (accepted, encoding) in ((string, string?)[])[("br", "br"), ("gzip, deflate, br", "br"), ("gzip, deflate", "gzip"), ("br;q=0, gzip", "gzip"), ("identity", null), ("", null)])
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, path);
                request.Headers.TryAddWithoutValidation("Accept-Encoding", accepted);
                using var response = await server.Http.SendAsync(request);
                Assert.Equal(encoding is null ? [] : [encoding], response.Content.Headers.ContentEncoding);
                Assert.Equal("Accept-Encoding", Assert.Single(response.Headers.Vary));
                Assert.Equal(path.EndsWith(".js", StringComparison.Ordinal) ? "text/javascript" : "text/html", response.Content.Headers.ContentType?.MediaType);
                await using var body = await response.Content.ReadAsStreamAsync();
                await using Stream unpacked = encoding switch { "br" => new BrotliStream(body, CompressionMode.Decompress), "gzip" => new GZipStream(body, CompressionMode.Decompress), _ => body };
                using var text = new StreamReader(unpacked);
                Assert.Equal(plain, await text.ReadToEndAsync());
            }
        }
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

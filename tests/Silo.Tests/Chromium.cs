using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using KlineOrleans.Testing;
using Microsoft.Playwright;

namespace KlineOrleans.Silo.Tests;

/// <summary>The machine's Chromium (/usr/bin/chromium, or what CHROMIUM names). Every wait for it has an end: a browser that hangs fails a test and holds none.</summary>
internal sealed class Chromium : IAsyncDisposable
{
    /// <summary>How long anything that is waited for may take.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    // A browser that is told to close and does not is left behind: its driver ends it.
    private static readonly TimeSpan CloseTime = TimeSpan.FromSeconds(10);
    private static readonly string Program = Environment.GetEnvironmentVariable("CHROMIUM") is { Length: > 0 } named ? named : "/usr/bin/chromium";

    private readonly IPlaywright _playwright;
    private readonly IBrowser _browser;

    private Chromium(IPlaywright playwright, IBrowser browser) => (_playwright, _browser) = (playwright, browser);

    /// <summary>The folder of the built page.</summary>
    public static string PagePath { get; } = Path.Combine(RecordedData.RepositoryRoot, "src", "Web", "wwwroot");

    public static void SkipUnlessPossible()
    {
        Assert.SkipUnless(File.Exists(Program), $"the browser {Program} is not on this machine");
        Assert.SkipUnless(File.Exists(Path.Combine(PagePath, "index.html")), "the chart page is not built (npm is needed)");
    }

    public static async Task<Chromium> Launch()
    {
        var playwright = await Within(Playwright.CreateAsync());
        try
        {
            return new Chromium(playwright, await Within(playwright.Chromium.LaunchAsync(new()
            {
                ExecutablePath = Program,
                Args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
                Timeout = (float)Patience.TotalMilliseconds,
            })));
        }
        catch
        {
            playwright.Dispose();
            throw;
        }
    }

    /// <summary>A new page with nothing of the others (own cache, own storage), at an address.</summary>
    /// <param name="size">As a person would call it, for messages.</param>
    public async Task<WatchedPage> Open(Uri address, string size = "wide", int width = 1440, int height = 900, ColorScheme scheme = ColorScheme.Dark)
    {
        var page = await Within(_browser.NewPageAsync(new() { ViewportSize = new() { Width = width, Height = height }, ColorScheme = scheme, HasTouch = width < 700, ReducedMotion = ReducedMotion.Reduce }));
        page.SetDefaultTimeout((float)Patience.TotalMilliseconds);
        var watched = new WatchedPage(page, size);
        await Within(page.GotoAsync(address.ToString()));
        return watched;
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            await _browser.CloseAsync().WaitAsync(CloseTime, TimeProvider.System);
        }
        catch (Exception e) when (e is TimeoutException or PlaywrightException)
        {
            // The driver goes next and takes it along.
        }

        _playwright.Dispose();
    }

    // A little more than the driver's own patience, whose message says more.
    internal static Task<T> Within<T>(Task<T> task) => task.WaitAsync(Patience + TimeSpan.FromSeconds(5), TimeProvider.System);

    internal static Task Within(Task task) => task.WaitAsync(Patience + TimeSpan.FromSeconds(5), TimeProvider.System);
}

/// <summary>A page of a <see cref="Chromium"/>, and what it complained of on its console.</summary>
internal sealed class WatchedPage
{
    // What the chart page shows, as it tells it itself (see src/Web/ClientApp/src/main.ts).
    private const string Drawn = "() => window.__kline?.klines().length > 0 && __kline.state.link === 'connected' && __kline.state.feed !== undefined";

    private readonly IPage _page;
    private readonly ConcurrentQueue<string> _complaints = [];

    public WatchedPage(IPage page, string size)
    {
        (_page, Size) = (page, size);
        page.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning")
            {
                _complaints.Enqueue($"{size}: {message.Text} ({message.Location})");
            }
        };
        page.PageError += (_, error) => _complaints.Enqueue($"{size}: {error}");
    }

    public string Size { get; }

    public string Url => _page.Url;

    /// <summary>Errors and warnings on the console so far, and exceptions that nobody caught.</summary>
    public IReadOnlyCollection<string> Complaints => _complaints;

    /// <summary>Forgets the complaints so far and returns them.</summary>
    public IReadOnlyCollection<string> TakeComplaints()
    {
        List<string> taken = [];
        while (_complaints.TryDequeue(out var complaint))
        {
            taken.Add(complaint);
        }

        return taken;
    }

    /// <summary>What an expression, or a function of <paramref name="argument"/>, is in the page.</summary>
    public Task<T> Ask<T>([StringSyntax("js")] string script, object? argument = null) => Chromium.Within(_page.EvaluateAsync<T>(script, argument));

    /// <summary>Waits until a function of <paramref name="argument"/> is true in the page.</summary>
    public async Task Until([StringSyntax("js")] string function, object? argument = null)
    {
        try
        {
            // By the clock: a page that is not drawn has no animation frames.
            await Chromium.Within(_page.WaitForFunctionAsync(function, argument, new() { PollingInterval = 50 }));
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{Size}: never true: {function}. The page: {await Ask<string>("JSON.stringify({ ...window.__kline?.state, symbol: window.__kline?.symbol, interval: window.__kline?.interval })")}. Its complaints: {string.Join(" | ", _complaints)}", e);
        }
    }

    /// <summary>Waits until the chart page shows klines, is connected and knows the state of its feed.</summary>
    public Task UntilDrawn() => Until(Drawn);

    public Task Click(string selector) => Chromium.Within(_page.ClickAsync(selector));

    /// <summary>Moves the pointer to the middle of an element.</summary>
    public Task Hover(string selector) => Chromium.Within(_page.HoverAsync(selector));

    public Task Press(string key) => Chromium.Within(_page.Keyboard.PressAsync(key));

    public Task Type(string text) => Chromium.Within(_page.Keyboard.TypeAsync(text));

    public Task Focus(string selector) => Chromium.Within(_page.FocusAsync(selector));

    public Task Reload() => Chromium.Within(_page.ReloadAsync());

    public Task<string?> Text(string selector) => Chromium.Within(_page.TextContentAsync(selector));

    public Task<bool> IsVisible(string selector) => Chromium.Within(_page.IsVisibleAsync(selector));

    /// <summary>Writes a picture of the page as it is seen.</summary>
    public Task Picture(string path) => Chromium.Within(_page.ScreenshotAsync(new() { Path = path }));

    public Task Close() => Chromium.Within(_page.CloseAsync());
}

using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web;

/// <summary>Logs one line a minute (event 1530): how many are served, what they follow, how fast, and how far behind the sources are.</summary>
/// <remarks>Each figure is a field of its own where logs are structured. Rates are those of the minute that ends.</remarks>
internal sealed partial class MinuteSummary(WebCounters counters, MintFeeds feeds, SourceMonitor monitor, TimeProvider time, ILogger<MinuteSummary> log) : IHostedService, IDisposable
{
    public static readonly TimeSpan Period = TimeSpan.FromMinutes(1);

    private const int MostMints = 5;

    private ITimer? _timer;
    private Totals _before;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _before = Now();
        _timer = time.CreateTimer(static summary => ((MinuteSummary)summary!).Write(), this, Period, Period);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        _timer?.Dispose();
        return Task.CompletedTask;
    }

    public void Dispose() => _timer?.Dispose();

    private void Write()
    {
        var now = Now();
        var before = _before;
        _before = now;
        var seconds = time.GetElapsedTime(before.At, now.At).TotalSeconds;
        var top = feeds.Top(MostMints);
        LogSummary(
            counters.Connections,
            counters.Subscriptions,
            feeds.Count,
            top.Count == 0 ? "none" : string.Join(", ", top.Select(t => $"{t.Symbol} {t.Clients}")),
            Rate(before.Trades, now.Trades),
            Rate(before.Updates, now.Updates),
            Rate(before.Messages, now.Messages),
            Lag());

        // A source that was started anew counts from zero again.
        double Rate(long from, long to) => seconds > 0 ? Math.Round(Math.Max(0, to - from) / seconds, 1) : 0;
    }

    private string Lag()
    {
        var at = time.GetUtcNow();
        List<string> lags = [.. monitor.Statuses.Select(s => (s?.Name, Lag: s is null ? null : SourceStates.Lag(s, at)))
            .Where(s => s.Lag is not null)
            .Select(s => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{s.Name} {s.Lag!.Value.TotalSeconds:0.0} s"))];
        return lags.Count == 0 ? "none" : string.Join(", ", lags);
    }

    private Totals Now() => new(time.GetTimestamp(), monitor.Statuses.Sum(s => s?.Trades ?? 0), counters.Updates, counters.Sent);

    [LoggerMessage(1530, LogLevel.Information, "Connections {Connections}, subscriptions {Subscriptions}, mints {Mints} (most followed: {TopMints}), trades/s {TradesPerSecond}, updates/s {UpdatesPerSecond}, messages/s {MessagesPerSecond}, lag {Lag}")]
    private partial void LogSummary(long connections, long subscriptions, int mints, string topMints, double tradesPerSecond, double updatesPerSecond, double messagesPerSecond, string lag);

    private readonly record struct Totals(long At, long Trades, long Updates, long Messages);
}

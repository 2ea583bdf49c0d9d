using KlineOrleans.Contracts;
using KlineOrleans.Web.Transports.Events;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web.Transports.KlineSocketIo;

/// <summary>Looks into the index of symbols once a second while somebody waits for new ones, and tells them. Thread safe.</summary>
/// <remarks>
/// The index is ordered by the time of the first trade as the source tells it, so the look goes back a little behind the sources' clocks, and what was told
/// is remembered that long.
/// </remarks>
internal sealed class NewSymbols(IKlineArchive archive, SourceMonitor monitor, EventServices services, TimeProvider time) : BackgroundService
{
    private const int PageSize = 1_000;

    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Overlap = TimeSpan.FromSeconds(30);

    private readonly Lock _lock = new();
    private readonly Dictionary<Session, AccessGrant> _waiting = [];
    private readonly Dictionary<string, DateTimeOffset> _told = new(StringComparer.Ordinal);
    private DateTimeOffset? _from;

    /// <summary>How a new symbol looks. Set once, before the first who waits.</summary>
    public Func<SymbolInfo, Payload>? Encode { get; set; }

    /// <summary>From now on the session is told of new symbols. What is there already counts as known.</summary>
    /// <param name="grant">Symbols that it may not see are not told.</param>
    public async Task Add(Session session, AccessGrant grant)
    {
        bool isFirst;
        lock (_lock)
        {
            isFirst = _from is null;
            _waiting[session] = grant;
        }

        if (isFirst)
        {
            await Look(tell: false, CancellationToken.None);
        }
    }

    public void Remove(Session session)
    {
        lock (_lock)
        {
            _waiting.Remove(session);
            if (_waiting.Count == 0)
            {
                _from = null;
                _told.Clear();
            }
        }
    }

    /// <summary>Looks now. For the timer, and tests without one.</summary>
    /// <param name="tell">False: only remembers what is there.</param>
    public async Task Look(bool tell, CancellationToken cancellationToken)
    {
        DateTimeOffset from;
        lock (_lock)
        {
            if (_waiting.Count == 0)
            {
                return;
            }

            from = _from ?? Clock() - Overlap;
        }

        // Before every symbol of that time.
        SymbolInfo? after = new("", "", "", from);
        while (after is not null)
        {
            var page = await archive.ListSymbols("", after, PageSize, cancellationToken);
            lock (_lock)
            {
                foreach (var symbol in page)
                {
                    if (_told.TryAdd(symbol.Symbol, symbol.ListedTime) && tell)
                    {
                        var payload = Encode!(symbol);
                        foreach (var (session, grant) in _waiting)
                        {
                            if (grant.MaySee(symbol.Symbol))
                            {
                                session.Send(payload);
                            }
                        }
                    }
                }
            }

            after = page.Count < PageSize ? null : page[^1];
        }

        lock (_lock)
        {
            if (_waiting.Count == 0)
            {
                return;
            }

            var next = Clock() - Overlap;
            _from = next > from ? next : from;
            foreach (var (symbol, listed) in _told)
            {
                if (listed < _from)
                {
                    _told.Remove(symbol);
                }
            }
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await Task.Yield();
        using var timer = new PeriodicTimer(Period, time);
        var failed = false;
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    bool known;
                    lock (_lock)
                    {
                        known = _from is not null;
                    }

                    await Look(tell: known, stoppingToken);
                    failed = false;
                }
                catch (Exception e) when (!stoppingToken.IsCancellationRequested)
                {
                    if (!failed)
                    {
                        services.Log.LogWarning(1523, e, "New symbols cannot be looked up");
                    }

                    failed = true;
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The server stops.
        }
    }

    /// <summary>The clock that is furthest behind.</summary>
    private DateTimeOffset Clock()
    {
        var clock = time.GetUtcNow();
        foreach (var status in monitor.Statuses)
        {
            if (status is not null && status.Clock > DateTimeOffset.MinValue && status.Clock < clock)
            {
                clock = status.Clock;
            }
        }

        return clock;
    }
}

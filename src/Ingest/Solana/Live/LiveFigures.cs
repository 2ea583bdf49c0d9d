using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>What an operator wants to know of a live source. Thread safe.</summary>
internal sealed partial class LiveFigures(string source, TimeProvider time, ILogger logger)
{
    private static readonly TimeSpan LogInterval = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<string, (long Last, long Suppressed)> _logged = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, long> _counts = new(StringComparer.Ordinal);
    private string? _newestGap;
    private string? _lastRepair;

    /// <summary>What no node could give: trades are missing, and the newest place is named.</summary>
    public const string Gaps = "gaps";

    public const string Reconnects = "reconnects";

    /// <summary>Transactions that the subscription did not bring and the chain did.</summary>
    public const string Repaired = "repaired";

    /// <summary>Frames that found the queue full; fetched again.</summary>
    public const string Overflowed = "overflowedFrames";

    /// <summary>Notifications of transactions seen before.</summary>
    public const string Repeated = "repeatedFrames";

    /// <summary>Trades given with an estimated time.</summary>
    public const string EstimatedTimes = "estimatedTimes";

    /// <summary>Slots whose trades were given with an estimated time that turned out wrong, and were given again with the right one.</summary>
    public const string WrongTimes = "wrongTimes";

    /// <summary>Slots whose time no node told: the estimate stays.</summary>
    public const string UnknownTimes = "unknownTimes";

    /// <summary>Slots in which the order of a mint's trades stays that of arrival, because no node tells the chain's.</summary>
    public const string UnknownOrders = "unknownOrders";

    /// <summary>Pairs of mint and slot whose order or trades were corrected.</summary>
    public const string Corrected = "correctedSlots";

    /// <summary>Transactions given that are not on the chain the node knows now: they were on a fork.</summary>
    public const string NotOnChain = "notOnChain";

    /// <summary>Logs cut by the validator that were fetched again.</summary>
    public const string TruncatedLogs = "truncatedLogs";

    public const string Requests = "requests";
    public const string RequestsRefused = "requestsRefused";
    public const string Frames = "frames";
    public const string Heals = "heals";
    public const string Scans = "scans";

    public long this[string name] => _counts.GetValueOrDefault(name);

    public string? NewestGap => Volatile.Read(ref _newestGap);

    public void Add(string name, long count = 1) => _counts.AddOrUpdate(name, static (_, n) => n, static (_, sum, n) => sum + n, count);

    /// <summary>Counts something that is lost, and names it.</summary>
    public void Gap(string what)
    {
        Add(Gaps);
        Volatile.Write(ref _newestGap, what);
        Warn(Gaps, $"lost: {what}");
    }

    public void Repair(long slot) =>
        Volatile.Write(ref _lastRepair, string.Create(CultureInfo.InvariantCulture, $"slot {slot} at {time.GetUtcNow():yyyy-MM-dd'T'HH:mm:ss'Z'}"));

    /// <summary>Logs, for each reason at most once a minute; says how many were kept back.</summary>
    public void Warn(string reason, string message)
    {
        var now = time.GetTimestamp();
        while (true)
        {
            if (!_logged.TryGetValue(reason, out var last))
            {
                if (_logged.TryAdd(reason, (now, 0)))
                {
                    LogWarning(source, message, 0);
                    return;
                }

                continue;
            }

            var isDue = time.GetElapsedTime(last.Last, now) >= LogInterval;
            if (_logged.TryUpdate(reason, isDue ? (now, 0) : (last.Last, last.Suppressed + 1), last))
            {
                if (isDue)
                {
                    LogWarning(source, message, last.Suppressed);
                }

                return;
            }
        }
    }

    public void WriteTo(ImmutableSortedDictionary<string, string>.Builder details)
    {
        foreach (var (name, count) in _counts)
        {
            details[name] = count.ToString(CultureInfo.InvariantCulture);
        }

        if (NewestGap is { } gap)
        {
            details["newestGap"] = gap;
        }

        if (Volatile.Read(ref _lastRepair) is { } repair)
        {
            details["lastRepair"] = repair;
        }
    }

    [LoggerMessage(1301, LogLevel.Warning, "Source {Source}: {Message} ({Suppressed} more of this kind since it was last written)")]
    private partial void LogWarning(string source, string message, long suppressed);
}

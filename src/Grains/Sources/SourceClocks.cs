using System.Collections.Concurrent;
using KlineOrleans.Contracts;

namespace KlineOrleans.Grains;

/// <summary>The sources' clocks as this process knows them: many grains look at them often, the sources are asked seldom. Thread safe.</summary>
public sealed class SourceClocks(IGrainFactory grains, TimeProvider time)
{
    /// <summary>How old a clock may be.</summary>
    public static readonly TimeSpan MaxAge = TimeSpan.FromMilliseconds(250);

    private readonly ConcurrentDictionary<string, Entry> _entries = new(StringComparer.Ordinal);

    /// <summary>The clock of a source, at most <see cref="MaxAge"/> old. If the source cannot be asked: the last one known, standing still.</summary>
    public ValueTask<SourceClock> Get(string source)
    {
        var entry = _entries.GetOrAdd(source, static _ => new Entry());
        var asked = Volatile.Read(ref entry.Asked);
        if (asked != 0)
        {
            var age = time.GetElapsedTime(asked);
            if (age < MaxAge)
            {
                return new ValueTask<SourceClock>(entry.Clock.After(age));
            }
        }

        return new ValueTask<SourceClock>(Ask(source, entry));
    }

    private async Task<SourceClock> Ask(string source, Entry entry)
    {
        // Callers that come while one asks get what was known: they look again soon.
        if (Interlocked.Exchange(ref entry.Asking, 1) == 1)
        {
            return entry.Clock;
        }

        try
        {
            entry.Clock = await grains.GetGrain<ISourceGrain>(source).GetClock();
        }
        catch (Exception)
        {
            // Not final rather than final too early; whoever watches the source sees why.
            entry.Clock = entry.Clock with { IsLive = false };
        }
        finally
        {
            Volatile.Write(ref entry.Asked, Math.Max(1, time.GetTimestamp()));
            Volatile.Write(ref entry.Asking, 0);
        }

        return entry.Clock;
    }

    private sealed class Entry
    {
        public long Asked;
        public int Asking;
        private Box _clock = new(new SourceClock(DateTimeOffset.MinValue, IsLive: false));

        public SourceClock Clock
        {
            get => Volatile.Read(ref _clock).Value;
            set => Volatile.Write(ref _clock, new Box(value));
        }
    }

    private sealed record Box(SourceClock Value);
}

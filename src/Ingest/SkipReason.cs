using System.Collections.Concurrent;
using System.Collections.Immutable;

namespace KlineOrleans.Ingest;

/// <summary>Why something that came in became no trade. Its name on the wire is the same in camel case.</summary>
public enum SkipReason
{
    /// <summary>An answer or message that is no log, as the acknowledgement of a subscription.</summary>
    NotALog,

    /// <summary>A transaction without any event.</summary>
    NoEvents,

    /// <summary>A transaction that failed: what its events say did not happen.</summary>
    FailedTransaction,

    /// <summary>An event of a program that is not followed.</summary>
    WrongProgram,

    /// <summary>An event that is known to carry no trade.</summary>
    NotATrade,

    /// <summary>A message of an exchange that is no trade; counted by its own name (<c>otherEvent:kline</c>).</summary>
    OtherEvent,

    /// <summary>A line without content.</summary>
    EmptyLine,

    /// <summary>A live frame whose trade had come before, as while two connections overlap.</summary>
    AlreadySeen,

    /// <summary>A live frame that found the buffer full; its trade is fetched again.</summary>
    BufferFull,

    /// <summary>A live trade of a symbol that is not followed (any more).</summary>
    NotFollowed,

    /// <summary>Not the JSON that it should be. From here on, each reason may stand for a lost trade.</summary>
    MalformedFrame,

    /// <summary>A line of a recording that does not follow its format.</summary>
    MalformedLine,

    /// <summary>A line longer than <see cref="Replay.LineReader.MaxLineLength"/>.</summary>
    LineTooLong,

    /// <summary>The validator cut the log; events may be missing, and what follows the cut cannot be attributed.</summary>
    TruncatedLog,

    /// <summary>An event of a followed program whose type is not known.</summary>
    UnknownEvent,

    /// <summary>An event of a known type whose bytes do not fit the configured generation.</summary>
    UnknownLayout,

    /// <summary>Event data that is not base64.</summary>
    BadBase64,

    /// <summary>A price that is zero, or an amount or price too large for an exact number.</summary>
    PriceOutOfRange,

    /// <summary>A slot that was left out because the source was away too long.</summary>
    MissedSlot,

    /// <summary>A frame longer than any that a node or a venue should send.</summary>
    FrameTooLarge,

    /// <summary>A trade id that the venue itself cannot serve.</summary>
    MissingAtVenue,

    /// <summary>A transaction that no node gives, or none gives whole.</summary>
    MissingTransaction,
}

/// <summary>The names of <see cref="SkipReason"/>, and which of them may stand for a lost trade.</summary>
public static class SkipReasons
{
    private static readonly string[] Names = [.. Enum.GetNames<SkipReason>().Select(n => char.ToLowerInvariant(n[0]) + n[1..])];

    /// <summary>The reason as it stands in <see cref="Contracts.SourceStatus.Skipped"/>: <c>failedTransaction</c>.</summary>
    public static string Name(this SkipReason reason) => Names[(int)reason];

    /// <summary>Whether a trade may have been lost; false where there was none to begin with.</summary>
    public static bool IsLoss(this SkipReason reason) => reason >= SkipReason.MalformedFrame;

    /// <inheritdoc cref="IsLoss(SkipReason)"/>
    /// <param name="name">A key of <see cref="Contracts.SourceStatus.Skipped"/>.</param>
    public static bool IsLoss(string name)
    {
        var index = Array.IndexOf(Names, name);
        return index >= (int)SkipReason.MalformedFrame;
    }
}

/// <summary>Counts what was skipped, by reason. Thread safe.</summary>
public sealed class SkipCounts
{
    // What comes from outside must not grow without bound: further names count as the plain reason.
    private const int MaxNames = 64;

    private readonly long[] _counts = new long[Enum.GetValues<SkipReason>().Length];
    private readonly ConcurrentDictionary<string, long> _named = new(StringComparer.Ordinal);

    public void Add(SkipReason reason, long count = 1) => Interlocked.Add(ref _counts[(int)reason], count);

    /// <summary>Counts <c>otherEvent:name</c>.</summary>
    public void AddOther(string name)
    {
        if (name.Length is 0 or > 40 || (_named.Count >= MaxNames && !_named.ContainsKey(name)))
        {
            Add(SkipReason.OtherEvent);
            return;
        }

        _named.AddOrUpdate(name, 1, static (_, n) => n + 1);
    }

    /// <summary>Adds what was counted here to <paramref name="other"/> and begins again at zero. By the one who counts here.</summary>
    internal void MoveTo(SkipCounts? other)
    {
        for (var i = 0; i < _counts.Length; i++)
        {
            if (_counts[i] != 0)
            {
                other?.Add((SkipReason)i, _counts[i]);
                _counts[i] = 0;
            }
        }
    }

    public long this[SkipReason reason] => Interlocked.Read(ref _counts[(int)reason]);

    /// <summary>The counts above zero, by name.</summary>
    public ImmutableSortedDictionary<string, long> ToDictionary()
    {
        var result = ImmutableSortedDictionary.CreateBuilder<string, long>(StringComparer.Ordinal);
        for (var i = 0; i < _counts.Length; i++)
        {
            var count = Interlocked.Read(ref _counts[i]);
            if (count > 0)
            {
                result.Add(((SkipReason)i).Name(), count);
            }
        }

        foreach (var (name, count) in _named)
        {
            result[$"{SkipReason.OtherEvent.Name()}:{name}"] = count;
        }

        return result.ToImmutable();
    }
}

using System.Globalization;

namespace KlineOrleans.Ingest.Replay;

/// <summary>Where a replay goes on, as text. Immutable.</summary>
/// <param name="Identity">What recording it belongs to: another one under the same name starts from its beginning.</param>
/// <param name="Offset">The byte (or the sorted event) that comes next.</param>
/// <param name="Lines">The lines before it.</param>
/// <param name="Clock">The newest event time read; default if none.</param>
/// <param name="Pass">How often the recording was played to its end.</param>
/// <param name="Range">Times and positions of the recording, so far or whole.</param>
/// <param name="FormatState">See <see cref="IRecordingFormat.SaveState"/>.</param>
internal sealed record ReplayCheckpoint(string Identity, long Offset, long Lines, DateTimeOffset Clock, long Pass, RecordingRange Range, string FormatState)
{
    private const string Version = "replay1";

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Version}|{Identity}|{Offset}|{Lines}|{Clock.UtcTicks}|{Pass}|{Range.FirstTicks}|{Range.LastTicks}|{Range.FirstPosition}|{Range.LastPosition}|{FormatState}");

    /// <summary>Reads what <see cref="ToString"/> wrote; null if it did not.</summary>
    public static ReplayCheckpoint? TryParse(string text)
    {
        var parts = text.Split('|');
        if (parts.Length != 11 || parts[0] != Version)
        {
            return null;
        }

        Span<long> numbers = stackalloc long[8];
        for (var i = 0; i < numbers.Length; i++)
        {
            if (!long.TryParse(parts[i + 2], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out numbers[i]))
            {
                return null;
            }
        }

        return numbers[0] < 0 || numbers[1] < 0 || numbers[2] < 0 || numbers[2] > DateTimeOffset.MaxValue.Ticks || numbers[3] < 0
            ? null
            : new ReplayCheckpoint(parts[1], numbers[0], numbers[1], new DateTimeOffset(numbers[2], TimeSpan.Zero), numbers[3], new RecordingRange(numbers[4], numbers[5], numbers[6], numbers[7]), parts[10]);
    }
}

/// <summary>The first and last event time (in ticks) and position of a recording. Immutable.</summary>
internal readonly record struct RecordingRange(long FirstTicks, long LastTicks, long FirstPosition, long LastPosition)
{
    public static readonly RecordingRange Empty = new(long.MaxValue, long.MinValue, long.MaxValue, long.MinValue);

    public bool IsEmpty => LastTicks < FirstTicks;

    /// <summary>How much later a further pass is: the fewest whole minutes that its last trade lies within.</summary>
    public long PassTicks => IsEmpty ? 0 : (((LastTicks - FirstTicks) / TimeSpan.TicksPerMinute) + 1) * TimeSpan.TicksPerMinute;

    /// <summary>How much larger the positions of a further pass are, so that no two trades share one.</summary>
    public long PassPositions => IsEmpty ? 0 : LastPosition - FirstPosition + 1;

    public RecordingRange With(long ticks, long position) =>
        new(Math.Min(FirstTicks, ticks), Math.Max(LastTicks, ticks), Math.Min(FirstPosition, position), Math.Max(LastPosition, position));
}

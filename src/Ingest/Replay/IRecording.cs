using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Replay;

/// <summary>A recording that is read line by line from some place on. One user at a time.</summary>
internal interface IRecording : IAsyncDisposable
{
    /// <summary>What comes after the newest line: bytes, or sorted lines.</summary>
    long Offset { get; }

    /// <summary>The newest line's number in the file, from 1.</summary>
    long LineNumber { get; }

    /// <summary>How much was read, 0 to 1.</summary>
    double Progress { get; }

    /// <summary>Moves to the next line; false at the end.</summary>
    ValueTask<bool> Read(CancellationToken cancellationToken);

    /// <summary>Decodes the newest line.</summary>
    /// <returns>Null if nothing is wrong with it; otherwise what is, for an operator. It is counted already.</returns>
    string? Decode(List<Trade> trades, List<SymbolInfo> symbols, List<ChainEvent> events);

    /// <summary>See <see cref="IRecordingFormat.SaveState"/>.</summary>
    string SaveState();
}

/// <summary>A recording in the order of its lines.</summary>
internal sealed class LineRecording(LineReader reader, IRecordingFormat format, SkipCounts skipped, long length) : IRecording
{
    public long Offset => reader.Offset;

    public long LineNumber => reader.LineNumber;

    public double Progress => length == 0 ? 1 : Math.Min(1, (double)reader.Offset / length);

    public ValueTask<bool> Read(CancellationToken cancellationToken) =>
        reader.TryRead() ? ValueTask.FromResult(true) : reader.Read(cancellationToken);

    public string? Decode(List<Trade> trades, List<SymbolInfo> symbols, List<ChainEvent> events)
    {
        if (reader.IsTooLong)
        {
            skipped.Add(SkipReason.LineTooLong);
            return $"longer than {LineReader.MaxLineLength} bytes";
        }

        if (reader.Line.IsEmpty)
        {
            skipped.Add(SkipReason.EmptyLine);
            return null;
        }

        return format.Read(reader.Line, reader.LineNumber, trades, symbols, events);
    }

    public string SaveState() => format.SaveState();

    public ValueTask DisposeAsync() => reader.DisposeAsync();
}

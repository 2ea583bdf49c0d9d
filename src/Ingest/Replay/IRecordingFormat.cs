using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Replay;

/// <summary>Decodes the lines of a recording in their order. One user at a time.</summary>
internal interface IRecordingFormat
{
    /// <summary>Decodes a line and adds its trades and events. Never throws for what the line holds.</summary>
    /// <param name="lineNumber">From 1.</param>
    /// <returns>Null if nothing is wrong with the line; otherwise what is, for an operator.</returns>
    string? Read(ReadOnlySpan<byte> line, long lineNumber, List<Trade> trades, List<SymbolInfo> symbols, List<ChainEvent> events);

    /// <summary>What the format has to know to go on after the newest line; without the character <c>|</c>.</summary>
    string SaveState();

    /// <summary>Goes on from what <see cref="SaveState"/> gave; false if that is no such text.</summary>
    bool TryRestoreState(string state);
}

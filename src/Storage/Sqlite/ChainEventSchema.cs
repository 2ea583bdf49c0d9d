namespace KlineOrleans.Storage.Sqlite;

/// <summary>The tables of chain events, as <see cref="SqliteSchema"/> makes them.</summary>
internal static class ChainEventSchema
{
    /// <summary>The row of <c>chain_mint</c> that counts the events of all mints: numbers of symbols begin at 1.</summary>
    public const long AllMints = 0;

    public const string Migration =
        """
        CREATE TABLE chain_event (
            id INTEGER PRIMARY KEY,         -- the order of storing, in which events leave when there are too many in all
            symbol_id INTEGER NOT NULL,
            number INTEGER NOT NULL,
            slot INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            signature TEXT NOT NULL,
            event_index INTEGER NOT NULL,
            event_time INTEGER NOT NULL,    -- ticks of 100 ns since year 1, UTC
            type TEXT NOT NULL,
            fields TEXT NOT NULL
        );
        CREATE UNIQUE INDEX chain_event_key ON chain_event (symbol_id, slot, signature, event_index);
        CREATE INDEX chain_event_order ON chain_event (symbol_id, slot, sequence, signature, event_index);
        CREATE UNIQUE INDEX chain_event_number ON chain_event (symbol_id, number);

        -- A mint's row stays when all its events have left, so that no number comes twice.
        CREATE TABLE chain_mint (
            symbol_id INTEGER PRIMARY KEY,
            last_number INTEGER NOT NULL,
            kept INTEGER NOT NULL,
            left_slot INTEGER NOT NULL,     -- the newest event that has left, in the order of the chain: what is not newer does not come back; -1: none has
            left_sequence INTEGER NOT NULL,
            left_signature TEXT NOT NULL,
            left_index INTEGER NOT NULL
        );
        """;
}

using System.Collections.Immutable;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>How certain the chain is of what it tells.</summary>
public enum SolanaCommitment
{
    /// <summary>The node has executed it; it may still be on a fork that the chain leaves. A trade of such a fork cannot be taken back and is counted.</summary>
    Processed,

    /// <summary>Two thirds of the stake have voted for it.</summary>
    Confirmed,

    /// <summary>It cannot be undone; about 13 seconds behind.</summary>
    Finalized,
}

/// <summary>A node's addresses. Immutable.</summary>
/// <param name="Name">For status and log; an address may hold a key.</param>
public sealed record SolanaEndpoint(Uri Http, Uri WebSocket, string Name);

/// <summary>Options of a <see cref="SourceKind.Solana"/>. Immutable.</summary>
public sealed record SolanaOptions
{
    /// <summary>In the order of preference; the next one is used when one is silent, behind or refusing. Default: a local validator.</summary>
    public ImmutableArray<SolanaEndpoint> Endpoints { get; init; } = [new(new Uri("http://127.0.0.1:8899"), new Uri("ws://127.0.0.1:8900"), "local")];

    /// <summary>The programs to follow. Default: the current ones of <see cref="ProgramCatalog.Default"/>.</summary>
    public ProgramCatalog Programs { get; init; } = ProgramCatalog.Default;

    /// <summary>Default: confirmed.</summary>
    public SolanaCommitment Commitment { get; init; } = SolanaCommitment.Confirmed;

    /// <summary>Silence of a node, or of its slots, after which the next one is tried and the source is stale. 1 s to 10 min. Default: 30 s.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long an answer may take. 100 ms to 2 min. Default: 10 s.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often what was seen is compared with the chain. 1 s to 1 h. Default: 1 min.</summary>
    public TimeSpan ScanInterval { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How many slots a scan looks at again, beside those that none has looked at. 0 to 10,000. Default: 300, about two minutes.</summary>
    public int ScanSlots { get; init; } = 300;

    /// <summary>How far behind the newest slot a node's index is complete: nothing nearer counts as verified. 1 to 1,000. Default: 32.</summary>
    public int SettleSlots { get; init; } = 32;

    /// <summary>How many slots a node may be behind the best of the others. 10 to 100,000. Default: 150.</summary>
    public int MaxLagSlots { get; init; } = 150;

    /// <summary>How long trades wait for their slot's block time before an estimate is used. 0 to 1 min. Default: 2 s.</summary>
    public TimeSpan BlockTimeWait { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Where a first start begins; null: now. Not together with <see cref="Backfill"/>.</summary>
    public long? StartSlot { get; init; }

    /// <summary>How much of the past a first start fetches. 0 to 30 days. Default: 0.</summary>
    public TimeSpan Backfill { get; init; }

    /// <summary>Requests on their way at the same time. 1 to 64. Default: 8.</summary>
    public int MaxRequests { get; init; } = 8;

    /// <summary>Frames that wait to be decoded; further ones are dropped, counted and fetched again. 16 to 1,000,000. Default: 65,536.</summary>
    public int MaxQueuedFrames { get; init; } = 65_536;

    /// <summary>A longer frame is refused and counted without being held. Default: 10 MiB less one byte, so that one of 10 MiB is refused.</summary>
    internal int MaxFrameBytes { get; init; } = (10 << 20) - 1;

    /// <summary>Signatures of one program that one pass of healing holds; a longer gap takes several passes.</summary>
    internal int MaxListed { get; init; } = 250_000;

    /// <summary>Signatures that a node lists at once; the protocol's most.</summary>
    internal int PageSize { get; init; } = 1_000;

    /// <summary>The commitment as the protocol writes it, for subscriptions.</summary>
    internal string CommitmentName => Commitment switch
    {
        SolanaCommitment.Processed => "processed",
        SolanaCommitment.Finalized => "finalized",
        _ => "confirmed",
    };

    /// <summary>The same for what is asked of the ledger, which knows nothing that is only processed.</summary>
    internal string LedgerCommitmentName => Commitment == SolanaCommitment.Finalized ? "finalized" : "confirmed";
}

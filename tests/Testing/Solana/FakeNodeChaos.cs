namespace KlineOrleans.Testing.Solana;

/// <summary>What a <see cref="FakeSolanaNode"/> does wrong. Chances are per event, from 0 to 1. Immutable.</summary>
public sealed record FakeNodeChaos
{
    public int Seed { get; init; } = 1;

    /// <summary>A notification that is never sent.</summary>
    public double Lose { get; init; }

    /// <summary>A notification that is sent twice.</summary>
    public double Duplicate { get; init; }

    /// <summary>A notification that comes one to five slots late.</summary>
    public double Delay { get; init; }

    /// <summary>A slot whose notifications come in another order.</summary>
    public double Reorder { get; init; }

    /// <summary>A notification whose log is cut before its first event, though the node's copy is whole.</summary>
    public double Truncate { get; init; }

    /// <summary>A slot after which every connection is dropped: every second time without a close frame.</summary>
    public double Drop { get; init; }

    /// <summary>A message in several frames.</summary>
    public double Fragment { get; init; }

    /// <summary>A message that is no JSON, or no notification that it says it is, beside the right ones.</summary>
    public double Garbage { get; init; }

    /// <summary>A request answered with HTTP status 429.</summary>
    public double TooManyRequests { get; init; }

    /// <summary>The seconds of Retry-After of such an answer; null: none is sent.</summary>
    public int? RetryAfterSeconds { get; init; }

    /// <summary>A request answered after <see cref="SlowBy"/>.</summary>
    public double Slow { get; init; }

    public TimeSpan SlowBy { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>A request answered with something that is no JSON-RPC.</summary>
    public double BrokenAnswer { get; init; }

    /// <summary>Subscriptions are confirmed only after the next slot's notifications, and ids come back as text.</summary>
    public bool LateConfirmations { get; init; }

    /// <summary>How many slots the list of a program's signatures is behind the node's own slot.</summary>
    public int IndexLagSlots { get; init; }

    /// <summary>What the acceptance of a live source asks for: 5 % lost, 5 % doubled, cut logs, reordered slots, drops, refused and slow answers.</summary>
    public static FakeNodeChaos Everything(int seed) => new()
    {
        Seed = seed,
        Lose = 0.05,
        Duplicate = 0.05,
        Delay = 0.03,
        Reorder = 0.5,
        Truncate = 0.01,
        Drop = 0.01,
        Fragment = 0.05,
        Garbage = 0.002,
        TooManyRequests = 0.003,
        RetryAfterSeconds = 1,
        Slow = 0.002,
        BrokenAnswer = 0.005,
        LateConfirmations = true,
        IndexLagSlots = 3,
    };
}

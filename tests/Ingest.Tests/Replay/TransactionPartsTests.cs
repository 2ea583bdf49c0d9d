using KlineOrleans.Ingest.Replay;
using KlineOrleans.Ingest.Solana;

namespace KlineOrleans.Ingest.Tests.Replay;

public class TransactionPartsTests
{
    [Fact]
    public void The_same_frame_again_has_the_same_numbers() =>
        Assert.Equal([0, 0], Numbers((1, "a", [10, 11]), (1, "a", [10, 11])));

    [Fact]
    public void Another_frame_of_the_same_transaction_is_numbered_on() =>
        Assert.Equal([0, 1, 3, 1], Numbers((1, "a", [10]), (1, "a", [11, 12]), (1, "a", [13]), (1, "a", [11, 12])));

    [Fact]
    public void A_whole_log_after_a_cut_one_starts_at_the_same_number() =>
        Assert.Equal([0, 0, 0], Numbers((1, "a", [10]), (1, "a", [10, 11]), (1, "a", [10, 11])));

    [Fact]
    public void Transactions_and_slots_are_told_apart() =>
        Assert.Equal([0, 0, 0], Numbers((1, "a", [10]), (1, "b", [11]), (2, "a", [12])));

    [Fact]
    public void What_was_saved_goes_on()
    {
        var parts = new TransactionParts();
        parts.FirstIndex(7, "a", Events([10, 11]));
        var restored = new TransactionParts();

        Assert.True(restored.TryRestore(parts.Save()));

        Assert.Equal(0, restored.FirstIndex(7, "a", Events([10, 11])));
        Assert.Equal(2, restored.FirstIndex(7, "a", Events([12])));
        Assert.False(new TransactionParts().TryRestore("7;a:nothex"));
        Assert.False(new TransactionParts().TryRestore("x"));
    }

    private static IEnumerable<int> Numbers(params (long Slot, string Signature, byte[] Payloads)[] frames)
    {
        var parts = new TransactionParts();
        return [.. frames.Select(f => parts.FirstIndex(f.Slot, f.Signature, Events(f.Payloads)))];
    }

    private static List<DecodedEvent> Events(byte[] payloads) =>
        [.. payloads.Select((p, i) => new DecodedEvent { Program = null!, Map = null!, Index = i, Terms = null, Payload = new[] { p } })];
}

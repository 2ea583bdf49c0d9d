using System.Buffers;
using KlineOrleans.Protocol.SocketIo;

namespace KlineOrleans.Protocol.Tests.SocketIo;

public sealed class BinaryPacketAssemblerTests
{
    private static readonly SocketPacketReader Reader = new();

    private readonly BinaryPacketAssembler _assembler = new(maxBytes: 10);

    [Fact]
    public void Packet_without_attachments_is_complete_at_once()
    {
        Assert.Equal(AssemblyStatus.Complete, _assembler.Start(Packet("2[\"a\"]")));
        Assert.Equal("[\"a\"]", _assembler.Take(out var attachments).Payload.Text());
        Assert.Empty(attachments);
    }

    [Fact]
    public void Packet_waits_for_its_attachments_and_keeps_their_order_and_a_copy_of_itself()
    {
        var text = "52-/k,7[\"a\"]"u8.ToArray();
        Assert.Equal(SocketReadStatus.Ok, Reader.Read(new ReadOnlySequence<byte>(text), out var packet));
        Assert.Equal(AssemblyStatus.NeedsMore, _assembler.Start(packet));
        Array.Clear(text);

        byte[] reused = [1, 2];
        Assert.Equal(AssemblyStatus.NeedsMore, _assembler.Add(new ReadOnlySequence<byte>(reused)));
        reused[0] = 9;
        Assert.True(_assembler.IsWaiting);
        Assert.Equal(AssemblyStatus.Complete, _assembler.Add(new ReadOnlySequence<byte>(reused)));
        Assert.False(_assembler.IsWaiting);

        var taken = _assembler.Take(out var attachments);
        Assert.Equal(("/k", 7UL, "[\"a\"]"), (taken.Namespace.Text(), taken.AckId!.Value, taken.Payload.Text()));
        Assert.Equal([[1, 2], [9, 2]], attachments);
        Assert.Equal(AssemblyStatus.Complete, _assembler.Start(Packet("2[\"b\"]")));
    }

    [Fact]
    public void Text_while_attachments_are_missing_is_out_of_turn()
    {
        _assembler.Start(Packet("52-[\"a\"]"));
        _assembler.Add(new ReadOnlySequence<byte>([1]));
        Assert.Equal(AssemblyStatus.OutOfTurn, _assembler.Start(Packet("2[\"b\"]")));
    }

    [Fact]
    public void Binary_frame_that_nothing_announced_is_out_of_turn()
    {
        Assert.Equal(AssemblyStatus.OutOfTurn, _assembler.Add(new ReadOnlySequence<byte>([1])));
        _assembler.Start(Packet("51-[\"a\"]"));
        _assembler.Add(new ReadOnlySequence<byte>([1]));
        _assembler.Take(out _);
        Assert.Equal(AssemblyStatus.OutOfTurn, _assembler.Add(new ReadOnlySequence<byte>([1])));
    }

    [Fact]
    public void Attachments_above_the_bound_together_are_too_large()
    {
        _assembler.Start(Packet("53-[\"a\"]"));
        Assert.Equal(AssemblyStatus.NeedsMore, _assembler.Add(new ReadOnlySequence<byte>(new byte[6])));
        Assert.Equal(AssemblyStatus.NeedsMore, _assembler.Add(new ReadOnlySequence<byte>(new byte[4])));
        Assert.Equal(AssemblyStatus.TooLarge, _assembler.Add(new ReadOnlySequence<byte>(new byte[1])));
    }

    private static SocketPacket Packet(string text)
    {
        Assert.Equal(SocketReadStatus.Ok, Reader.Read(Segments.Whole(text), out var packet));
        return packet;
    }
}

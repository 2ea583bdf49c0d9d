using KlineOrleans.Protocol.EngineIo;
using KlineOrleans.Protocol.SocketIo;

namespace KlineOrleans.Protocol.Tests;

/// <summary>Numbers that are on the wire, or in logs and counters of the past.</summary>
public sealed class WireValueTests
{
    [Fact]
    public void Engine_packet_types_have_the_numbers_of_protocol_4() =>
        Assert.Equal("Open=0 Close=1 Ping=2 Pong=3 Message=4 Upgrade=5 Noop=6", Frozen<EnginePacketType>());

    [Fact]
    public void Socket_packet_types_have_the_numbers_of_protocol_5() =>
        Assert.Equal("Connect=0 Disconnect=1 Event=2 Ack=3 ConnectError=4 BinaryEvent=5 BinaryAck=6", Frozen<SocketPacketType>());

    [Fact]
    public void Read_statuses_keep_their_numbers()
    {
        Assert.Equal("Ok=0 End=1 EmptyPacket=2 UnknownType=3 BadBase64=4 BadText=5", Frozen<EngineReadStatus>());
        Assert.Equal(
            "Ok=0 Empty=1 UnknownType=2 BadAttachmentCount=3 BadAckId=4 BadJson=5 BadShape=6 ReservedEvent=7 BadPlaceholder=8 BadNamespace=9",
            Frozen<SocketReadStatus>());
        Assert.Equal("Complete=0 NeedsMore=1 OutOfTurn=2 TooLarge=3", Frozen<AssemblyStatus>());
    }

    private static string Frozen<T>()
        where T : struct, Enum =>
        string.Join(' ', Enum.GetValues<T>().Select(v => $"{v}={Convert.ToInt32(v, System.Globalization.CultureInfo.InvariantCulture)}"));
}

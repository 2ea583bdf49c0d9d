using KlineOrleans.Contracts;
using KlineOrleans.Web.Transports.Events;
using KlineOrleans.Web.Transports.SocketIo;

namespace KlineOrleans.Web.Transports.KlineSocketIo;

/// <summary>The events in a Socket.IO namespace. Thread safe.</summary>
internal sealed class SocketIoEventFormat(string ns, bool hasVolume, TimeProvider time) : EventFormat(hasVolume, time)
{
    public override Payload Event(string name, ReadOnlySpan<byte> data) => new SocketIoPayload([SocketIoPacket.Event(ns, name, data)]);

    public override Payload Error(ApiError error) => Event("error", error, static (json, error) =>
    {
        json.WriteStartObject();
        WriteError(json, error);
        json.WriteEndObject();
    });

    protected override Payload EncodeKlineData(FeedMessage message, int intervals, bool hasVolume)
    {
        var scratch = JsonScratch.Take();
        var (buffer, json) = (scratch.Buffer, scratch.Json);
        List<SocketIoPacket> packets = new(1);
        var now = Time.GetUtcNow().ToUnixTimeMilliseconds();
        var left = Count(message.Update, intervals);
        foreach (ref readonly var kline in message.Update.Klines.AsSpan())
        {
            if ((intervals & (1 << (int)kline.Interval)) == 0)
            {
                continue;
            }

            buffer.ResetWrittenCount();
            json.Reset();
            var gap = WriteKlineData(buffer, json, message, kline, isLast: --left == 0, hasVolume, now);
            packets.Add(SocketIoPacket.EventWithGap(ns, "kline_data", buffer.WrittenSpan[..gap], buffer.WrittenSpan[(gap + GapLength)..]));
        }

        return new SocketIoPayload([.. packets]);
    }
}

/// <summary><c>price_update</c>: the price after each update that has trades. Thread safe.</summary>
internal sealed class PriceFormat(string ns) : WireFormat
{
    public override Payload EncodeKlines(FeedMessage message, int intervals)
    {
        if (message.Taker == TakerSide.None)
        {
            return new SocketIoPayload([]);
        }

        var newest = default(Kline);
        foreach (ref readonly var kline in message.Update.Klines.AsSpan())
        {
            if ((intervals & (1 << (int)kline.Interval)) != 0 && kline.Revision == 0 && kline.OpenTime >= newest.OpenTime)
            {
                newest = kline;
            }
        }

        if (newest.Interval == KlineInterval.None)
        {
            return new SocketIoPayload([]);
        }

        return new SocketIoPayload([SocketIoPacket.Event(ns, "price_update", HubJson.Make((message, newest), static (json, a) =>
        {
            json.WriteStartObject();
            json.WriteString("symbol", a.message.Update.Symbol);
            json.WriteNumber("price", KlineJson.ToDouble(a.newest.Close.Value));
            json.WriteNumber("timestamp", a.message.Update.EventTime.ToUnixTimeMilliseconds());
            json.WriteString("side", a.message.Taker switch { TakerSide.Buyers => "buy", TakerSide.Sellers => "sell", _ => null });
            json.WriteEndObject();
        }).Span)]);
    }

    public override Payload? EncodeStatus(StatusMessage message) => null;

    public override Payload? EncodeSkipped(string symbol, long count) => null;
}

using System.Buffers;
using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Transports.Events;

/// <summary>How the events of the older wires look on one of them. The data is the same on all: only what stands around it differs. Thread safe.</summary>
/// <param name="hasVolume">False: a candle's <c>volume</c> is 0.</param>
internal abstract class EventFormat(bool hasVolume, TimeProvider time) : WireFormat
{
    /// <summary>Whether confirmations say their type within the data too.</summary>
    public virtual bool RepeatsType => false;

    /// <summary>Whether updates name their symbol by the number that its confirmation told.</summary>
    public virtual bool HasSymbolIds => false;

    protected TimeProvider Time => time;

    /// <summary>An event with ready data.</summary>
    /// <param name="data">One JSON object. Copied.</param>
    public abstract Payload Event(string name, ReadOnlySpan<byte> data);

    /// <summary>The event <c>server_shutdown</c>: the connection will be closed, and its client may come back.</summary>
    public Payload Shutdown() => Event("server_shutdown", ApiError.Shutdown, static (json, error) =>
    {
        json.WriteStartObject();
        WriteError(json, error);
        json.WriteEndObject();
    });

    /// <summary>The <c>error</c> event.</summary>
    public abstract Payload Error(ApiError error);

    public Payload Event<T>(string name, T argument, Action<Utf8JsonWriter, T> write)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer, CandleJson.Options))
        {
            write(json, argument);
        }

        return Event(name, buffer.WrittenSpan);
    }

    public override Payload EncodeKlines(FeedMessage message, int intervals) => EncodeKlineData(message, intervals, hasVolume);

    /// <summary>One <c>kline_data</c> for each kline of the intervals, each with a gap for the client's own subscription id.</summary>
    protected abstract Payload EncodeKlineData(FeedMessage message, int intervals, bool hasVolume);

    // The older wires know neither.
    public override Payload? EncodeStatus(StatusMessage message) => null;

    public override Payload? EncodeSkipped(string symbol, long count) => null;

    /// <summary>A page of history, as event <c>history_data</c>.</summary>
    public Payload History(string symbol, KlineInterval interval, HistoryPage page, bool newestFirst, long epoch, long seq) =>
        Event("history_data", (symbol, interval, page, newestFirst, epoch, seq, hasVolume), static (json, a) =>
        {
            json.WriteStartObject();
            json.WriteString("symbol", a.symbol);
            json.WriteString("interval", KlineJson.Name(a.interval));
            json.WriteStartArray("data");
            for (var i = 0; i < a.page.Klines.Count; i++)
            {
                CandleJson.Write(json, a.page.Klines[a.newestFirst ? a.page.Klines.Count - 1 - i : i], a.hasVolume);
            }

            json.WriteEndArray();
            json.WriteBoolean("has_more", a.page.HasMore);
            json.WriteNumber("total_count", a.page.Klines.Count);
            SignalRFormat.WritePosition(json, a.epoch, a.seq);
            json.WriteEndObject();
        });

    /// <summary>Writes the data of a <c>kline_data</c> and says where its gap is: the four bytes from the returned position on stand in it.</summary>
    /// <param name="isLast">
    /// Whether it is the last of the update's messages. The others carry the position before the update: a client that is cut off between two of them resumes from
    /// there, and so misses none.
    /// </param>
    protected static int WriteKlineData(ArrayBufferWriter<byte> buffer, Utf8JsonWriter json, FeedMessage message, in Kline kline, bool isLast, bool hasVolume, long now)
    {
        json.WriteStartObject();
        json.WriteString("symbol", message.Update.Symbol);
        json.WriteString("interval", KlineJson.Name(kline.Interval));
        json.WritePropertyName("subscription_id");
        json.Flush();
        var gap = buffer.WrittenCount;
        json.WriteNullValue();
        json.WritePropertyName("data");
        CandleJson.Write(json, kline, hasVolume);
        json.WriteNumber("timestamp", now);
        SignalRFormat.WritePosition(json, isLast ? message.Update.Epoch : message.BeforeEpoch, isLast ? message.Update.Seq : message.BeforeSeq);
        json.WriteEndObject();
        json.Flush();
        return gap;
    }

    /// <summary>How many of the update's klines are of the intervals.</summary>
    protected static int Count(KlineUpdate update, int intervals)
    {
        var count = 0;
        foreach (ref readonly var kline in update.Klines.AsSpan())
        {
            count += (intervals >> (int)kline.Interval) & 1;
        }

        return count;
    }

    /// <summary>The length of what stands in a gap until it is filled: <c>null</c>.</summary>
    protected const int GapLength = 4;

    public static void WriteError(Utf8JsonWriter json, ApiError error)
    {
        json.WriteNumber("code", (int)error.Code);
        json.WriteString("message", error.Sentence);
    }
}

/// <summary>The formats of one wire: for mints whose <c>volume</c> is 0, and for symbols with a real one.</summary>
internal sealed record EventFormats(EventFormat WithoutVolume, EventFormat WithVolume)
{
    /// <summary>For answers that have no candle.</summary>
    public EventFormat Any => WithVolume;

    public EventFormat Get(bool hasVolume) => hasVolume ? WithVolume : WithoutVolume;
}

using System.Text.Json;
using Microsoft.AspNetCore.SignalR;
using Microsoft.AspNetCore.SignalR.Protocol;

namespace KlineOrleans.Web;

/// <summary>A message for hub connections: SignalR's own frame of it is made once and kept, for all connections of a room.</summary>
internal sealed class HubPayload(ReadOnlyMemory<byte> json, string method) : Payload(json)
{
    public SerializedHubMessage Message { get; } = new(new InvocationMessage(method, [new HubJson(json)]));
}

/// <summary>How rooms look on the hub. The same JSON serves the items of streaming calls. Thread safe.</summary>
/// <param name="exact">Prices and volumes as decimal strings.</param>
internal sealed class SignalRFormat(bool exact, TimeProvider time) : WireFormat
{
    private const long LargestExactDouble = 1L << 53;

    public bool Exact => exact;

    public override Payload EncodeKlines(FeedMessage message, int intervals) => new HubPayload(HubJson.Make((message.Update, intervals, exact, Now: time.GetUtcNow()), static (json, a) =>
    {
        json.WriteStartObject();
        json.WriteString("symbol", a.Update.Symbol);
        WritePosition(json, a.Update.Epoch, a.Update.Seq);
        json.WriteNumber("eventTime", a.Update.EventTime.ToUnixTimeMilliseconds());
        json.WriteNumber("sentAt", a.Now.ToUnixTimeMilliseconds());
        json.WriteStartArray("klines");
        foreach (ref readonly var kline in a.Update.Klines.AsSpan())
        {
            if ((a.intervals & (1 << (int)kline.Interval)) != 0)
            {
                KlineJson.Write(json, kline, a.exact);
            }
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }), "kline");

    public override Payload EncodeStatus(StatusMessage message) => new HubPayload(HubJson.Make(message, static (json, status) =>
    {
        json.WriteStartObject();
        json.WriteString("symbol", status.Symbol);
        WriteState(json, status);
        json.WriteEndObject();
    }), "status");

    public override Payload EncodeSkipped(string symbol, long count) => new HubPayload(HubJson.Make((symbol, count), static (json, a) =>
    {
        json.WriteStartObject();
        json.WriteString("symbol", a.symbol);
        json.WriteNumber("count", a.count);
        json.WriteEndObject();
    }), "skipped");

    public static void WriteState(Utf8JsonWriter json, StatusMessage status)
    {
        json.WriteString("state", status.State);
        json.WriteNumber("since", status.Since.ToUnixTimeMilliseconds());
        json.WriteString("source", status.Source);
        json.WriteBoolean("simulated", status.IsSimulated);
    }

    /// <summary>Writes epoch and seq. An epoch that JavaScript's numbers cannot hold is a string: clients only hand it back.</summary>
    public static void WritePosition(Utf8JsonWriter json, long epoch, long seq)
    {
        if (epoch <= LargestExactDouble)
        {
            json.WriteNumber("epoch", epoch);
        }
        else
        {
            json.WriteString("epoch", epoch.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }

        json.WriteNumber("seq", seq);
    }
}

/// <summary>The formats of the hub: one instance each, so that rooms are shared.</summary>
internal sealed class SignalRFormats(TimeProvider time)
{
    private readonly SignalRFormat _numbers = new(exact: false, time);
    private readonly SignalRFormat _strings = new(exact: true, time);

    public SignalRFormat Get(bool exact) => exact ? _strings : _numbers;
}

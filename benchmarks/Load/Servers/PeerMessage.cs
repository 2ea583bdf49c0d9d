using System.Globalization;
using System.Text;

namespace KlineOrleans.Benchmarks.Load;

/// <summary>The message that the product sends for an update, made up: same fields, same length.</summary>
internal static class PeerMessage
{
    public static string KlineData(string symbol, string interval, long seq, long stamp)
    {
        var now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        return string.Create(CultureInfo.InvariantCulture, $"{{\"symbol\":\"{symbol}\",\"interval\":\"{interval}\",\"subscription_id\":null,\"data\":{{\"time\":{now / 60_000 * 60},\"open\":{stamp},\"high\":{stamp},\"low\":{stamp},\"close\":{stamp},\"volume\":0,\"is_final\":false,\"update_type\":\"realtime\",\"update_count\":{seq % 100_000},\"base_volume\":{seq % 100_000}.5,\"quote_volume\":{seq % 100_000}.25,\"trade_count\":{seq % 100_000},\"revision\":0}},\"timestamp\":{now},\"epoch\":{now},\"seq\":{seq}}}");
    }

    public static byte[] RawFrame(string symbol, string interval, long seq, long stamp)
    {
        var body = Encoding.ASCII.GetBytes($"{{\"type\":\"kline_data\",\"data\":{KlineData(symbol, interval, seq, stamp)},\"timestamp\":{TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()}}}");
        return [0x81, 126, (byte)(body.Length >> 8), (byte)body.Length, .. body];
    }
}

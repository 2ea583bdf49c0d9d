using System.Globalization;
using System.Text;

namespace KlineOrleans.Ingest.Binance;

/// <summary>Where a Binance source goes on: the next aggregate trade id of each symbol, as text. Immutable.</summary>
/// <param name="Clock">UTC.</param>
internal sealed record BinanceCheckpoint(BinanceVenue Venue, DateTimeOffset Clock, IReadOnlyDictionary<string, long> Next)
{
    private const string Version = "binance1";

    public override string ToString()
    {
        var text = new StringBuilder(32 + (Next.Count * 20));
        text.Append(CultureInfo.InvariantCulture, $"{Version}|{Venue}|{Clock.ToUnixTimeMilliseconds()}|");
        foreach (var (symbol, next) in Next)
        {
            text.Append(symbol).Append('=').Append(next).Append(';');
        }

        return text.ToString();
    }

    /// <summary>Reads what <see cref="ToString"/> wrote; null if it did not.</summary>
    public static BinanceCheckpoint? TryParse(string text)
    {
        var parts = text.Split('|');
        if (parts.Length != 4 || parts[0] != Version || !Enum.TryParse<BinanceVenue>(parts[1], out var venue) || !Enum.IsDefined(venue) || char.IsAsciiDigit(parts[1][0])
            || !long.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out var clock) || clock > DateTimeOffset.MaxValue.ToUnixTimeMilliseconds())
        {
            return null;
        }

        var next = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (var entry in parts[3].Split(';', StringSplitOptions.RemoveEmptyEntries))
        {
            var at = entry.IndexOf('=', StringComparison.Ordinal);
            if (at <= 0 || !long.TryParse(entry.AsSpan(at + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var id) || !next.TryAdd(entry[..at], id))
            {
                return null;
            }
        }

        return new BinanceCheckpoint(venue, DateTimeOffset.FromUnixTimeMilliseconds(clock), next);
    }
}

using System.Globalization;
using System.Text;

namespace KlineOrleans.Ingest.Binance;

/// <summary>Where a Binance source goes on: the next aggregate trade id of each symbol, as text. Immutable.</summary>
/// <param name="Clock">UTC.</param>
internal sealed record BinanceCheckpoint(BinanceVenue Venue, DateTimeOffset Clock, IReadOnlyDictionary<string, long> Next)
{
    private const string Version = "binance1";

    /// <summary>The symbols that have begun and whose trades have not reached the present yet: the newest event time given of each, UTC.</summary>
    public IReadOnlyDictionary<string, DateTimeOffset> FirstFill { get; init; } = new Dictionary<string, DateTimeOffset>(StringComparer.Ordinal);

    public override string ToString()
    {
        var text = new StringBuilder(32 + (Next.Count * 20));
        text.Append(CultureInfo.InvariantCulture, $"{Version}|{Venue}|{Clock.ToUnixTimeMilliseconds()}|");
        foreach (var (symbol, next) in Next)
        {
            text.Append(symbol).Append('=').Append(next);
            if (FirstFill.TryGetValue(symbol, out var reached))
            {
                text.Append('@').Append(Math.Max(0, reached.ToUnixTimeMilliseconds()));
            }

            text.Append(';');
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
        var firstFill = new Dictionary<string, DateTimeOffset>(StringComparer.Ordinal);
        foreach (var entry in parts[3].Split(';', StringSplitOptions.RemoveEmptyEntries))
        {
            var at = entry.IndexOf('=', StringComparison.Ordinal);
            var reached = entry.IndexOf('@', StringComparison.Ordinal);
            var number = entry.AsSpan(at + 1, Math.Max(0, (reached < 0 ? entry.Length : reached) - at - 1));
            if (at <= 0 || !long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var id) || !next.TryAdd(entry[..at], id))
            {
                return null;
            }

            if (reached >= 0)
            {
                if (!long.TryParse(entry.AsSpan(reached + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var ms) || ms > DateTimeOffset.MaxValue.ToUnixTimeMilliseconds())
                {
                    return null;
                }

                firstFill[entry[..at]] = DateTimeOffset.FromUnixTimeMilliseconds(ms);
            }
        }

        return new BinanceCheckpoint(venue, DateTimeOffset.FromUnixTimeMilliseconds(clock), next) { FirstFill = firstFill };
    }
}

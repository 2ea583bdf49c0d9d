using System.Collections.Immutable;

namespace KlineOrleans.Ingest.Binance;

/// <summary>Reads the options of one source of the kind Binance.</summary>
internal static class BinanceConfiguration
{
    private const string SymbolRule = "1 to 32 letters, digits and '_', each symbol once, as in BTCUSDT";

    public static BinanceOptions Read(SectionReader reader)
    {
        var venue = reader.Choice<BinanceVenue>("Venue") ?? BinanceVenue.Spot;
        var profile = VenueProfile.Of(venue);
        var symbols = ReadSymbols(reader);
        var quote = reader.Text("QuoteAsset")?.ToUpperInvariant();
        if (quote is not null && symbols.Length > 0)
        {
            reader.Refuse("QuoteAsset", quote, "none with Symbols, which name their quote assets");
        }
        else if (quote?.All(char.IsAsciiLetterOrDigit) == false)
        {
            reader.Refuse("QuoteAsset", quote, "letters and digits, as in USDT");
        }

        var followNew = reader.Flag("FollowNewSymbols", symbols.Length == 0);
        if (followNew && symbols.Length > 0)
        {
            reader.Refuse("FollowNewSymbols", "true", "false with Symbols");
        }

        var defaults = new BinanceOptions { StreamAddress = new Uri(profile.StreamAddress), RestAddress = new Uri(profile.RestAddress) };
        var first = reader.Duration("FirstRetry", defaults.FirstRetry, TimeSpan.FromMilliseconds(10), TimeSpan.FromMinutes(1));
        var last = reader.Duration("LastRetry", defaults.LastRetry, TimeSpan.FromMilliseconds(10), TimeSpan.FromMinutes(10));
        if (last < first)
        {
            reader.Refuse("LastRetry", last.ToString("c"), $"at least FirstRetry, {first:c}");
        }

        return defaults with
        {
            Venue = venue,
            StreamAddress = Address(reader, "StreamAddress", profile.StreamAddress, "wss", "ws"),
            RestAddress = Address(reader, "RestAddress", profile.RestAddress, "https", "http"),
            Symbols = symbols,
            QuoteAsset = quote ?? profile.QuoteAsset,
            FollowNewSymbols = followNew,
            History = reader.Flag("History", defaults.History),
            MaxGap = reader.Duration("MaxGap", defaults.MaxGap, TimeSpan.FromMinutes(1), TimeSpan.FromHours(24)),
            StreamsPerConnection = (int)reader.Integer("StreamsPerConnection", defaults.StreamsPerConnection, 1, 1_024),
            ControlMessagesPerSecond = (int)reader.Integer("ControlMessagesPerSecond", defaults.ControlMessagesPerSecond, 1, venue == BinanceVenue.Spot ? 5 : 10),
            ConnectTimeout = reader.Duration("ConnectTimeout", defaults.ConnectTimeout, TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(2)),
            IdleTimeout = reader.Duration("IdleTimeout", defaults.IdleTimeout, TimeSpan.FromSeconds(5), TimeSpan.FromMinutes(10)),
            ConnectionLifetime = reader.Duration("ConnectionLifetime", defaults.ConnectionLifetime, TimeSpan.FromMinutes(1), new TimeSpan(23, 59, 0)),
            FirstRetry = first,
            LastRetry = last,
            RestTimeout = reader.Duration("RestTimeout", defaults.RestTimeout, TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(2)),
            RestWeightPerMinute = (int)reader.Integer("RestWeightPerMinute", profile.WeightPerMinute, 100, 100_000),
            ScanInterval = reader.Duration("ScanInterval", defaults.ScanInterval, TimeSpan.FromSeconds(5), TimeSpan.FromHours(1)),
            BufferedFrames = (int)reader.Integer("BufferedFrames", defaults.BufferedFrames, 1_024, 4_194_304),
        };
    }

    private static ImmutableArray<string> ReadSymbols(SectionReader reader)
    {
        var section = reader.Child("Symbols");
        var values = section.GetChildren().Select(c => c.Value).ToList();
        if (values.Count == 0 && !string.IsNullOrWhiteSpace(section.Value))
        {
            values = [.. section.Value.Split(',')];
        }

        var symbols = ImmutableArray.CreateBuilder<string>();
        foreach (var value in values)
        {
            var symbol = value?.Trim().ToUpperInvariant() ?? "";
            if (symbol.Length is 0 or > 32 || !symbol.All(c => char.IsAsciiLetterOrDigit(c) || c == '_') || symbols.Contains(symbol))
            {
                reader.RefuseAt(section, value ?? "", SymbolRule);
                continue;
            }

            symbols.Add(symbol);
        }

        return symbols.ToImmutable();
    }

    private static Uri Address(SectionReader reader, string key, string fallback, string secure, string plain)
    {
        var text = reader.Text(key);
        if (text is null)
        {
            return new Uri(fallback);
        }

        if (Uri.TryCreate(text, UriKind.Absolute, out var uri) && (uri.Scheme == secure || uri.Scheme == plain) && uri.Query.Length == 0 && uri.UserInfo.Length == 0)
        {
            return uri;
        }

        reader.Refuse(key, text, $"an address such as {fallback}, with {secure}:// or {plain}://");
        return new Uri(fallback);
    }
}

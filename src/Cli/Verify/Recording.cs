using System.Text;
using KlineOrleans.Contracts;
using KlineOrleans.Grains;
using KlineOrleans.Ingest;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Cli;

/// <summary>A recording of trades, read and built as a server does.</summary>
internal sealed class Recording(string path, RecordingFormat format, string? symbol)
{
    private const int LongestFirstLine = 64 * 1024;

    public static IEnumerable<string> Formats => Enum.GetNames<RecordingFormat>();

    public string Path => path;

    /// <summary>What the file is, from its name and first line.</summary>
    /// <exception cref="Failure">It cannot be told, or the file cannot be read.</exception>
    public static Recording Open(string path, string? format, string? symbol)
    {
        RecordingFormat known;
        if (format is not null)
        {
            if (!Enum.TryParse(format, ignoreCase: true, out known) || !Enum.IsDefined(known))
            {
                throw new Failure($"--format: '{format}' is not allowed. Allowed: {string.Join(", ", Formats)}.");
            }
        }
        else
        {
            known = Guess(path) ?? throw new Failure($"'{path}' does not look like a recording. --format names what it is: {string.Join(", ", Formats)}.");
        }

        var name = System.IO.Path.GetFileNameWithoutExtension(path);
        return new Recording(path, known, known == RecordingFormat.BinanceAggTradesCsv ? symbol ?? name.Split('-')[0] : null);
    }

    /// <summary>The klines of every symbol and interval, oldest first, flat ones included where the kind of source has them.</summary>
    /// <param name="progress">Called with the trades so far, and how much of the recording they are: 0 to 1, or null where the source does not say.</param>
    /// <exception cref="Failure">The recording cannot be read.</exception>
    public async Task<SortedDictionary<(string Symbol, KlineInterval Interval), List<Kline>>> Build(string? intervals, TimeProvider time, Action<long, double?> progress, CancellationToken stop)
    {
        var settings = new Dictionary<string, string?>
        {
            ["Kline:Sources:0:Kind"] = "Replay",
            ["Kline:Sources:0:Format"] = format.ToString(),
            ["Kline:Sources:0:Path"] = path,
            ["Kline:Sources:0:Symbol"] = symbol,
            ["Kline:Intervals"] = intervals,
        };
        var services = new ServiceCollection().AddSingleton(time).AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance);
        try
        {
            services.AddTradeSources(new ConfigurationBuilder().AddInMemoryCollection(settings).Build());
        }
        catch (ConfigurationException error)
        {
            throw new Failure(error.Message, error);
        }

        await using var provider = services.BuildServiceProvider();
        var factory = provider.GetRequiredService<ITradeSourceFactory>();
        var source = factory.Sources[0];
        var builders = new Dictionary<string, KlineBuilder>(StringComparer.Ordinal);
        var clock = DateTimeOffset.MinValue;
        long trades = 0;
        try
        {
            var reading = factory.Create(source.Name);
            await foreach (var chunk in reading.Read(null, stop))
            {
                foreach (var trade in chunk.Trades)
                {
                    BuilderOf(trade.Symbol).Apply(trade);
                    trades++;
                }

                foreach (var slot in chunk.Ordered.GroupBy(t => (t.Symbol, t.Order.Id.Position)))
                {
                    // A trade given only here is one that was missed.
                    Trade[] ordered = [.. slot];
                    var builder = BuilderOf(slot.Key.Symbol);
                    foreach (var trade in ordered)
                    {
                        builder.Apply(trade);
                    }

                    builder.SetOrder(ordered);
                }

                clock = chunk.Clock.Time;
                progress(trades, reading.GetStatus().Progress);
            }
        }
        catch (SourceException error)
        {
            throw new Failure(error.Message, error);
        }

        var result = new SortedDictionary<(string, KlineInterval), List<Kline>>();
        foreach (var (name, builder) in builders)
        {
            builder.Advance(clock);
            var all = System.Collections.Immutable.ImmutableArray.CreateBuilder<Kline>();
            builder.CopyTo(all);
            foreach (var group in all.GroupBy(k => k.Interval))
            {
                result[(name, group.Key)] = source.Rules.Empty == EmptyPolicy.Flat ? WithFlats(group, clock - source.Rules.Grace) : [.. group];
            }
        }

        return result;

        KlineBuilder BuilderOf(string name)
        {
            if (!builders.TryGetValue(name, out var builder))
            {
                builders[name] = builder = new KlineBuilder(source.Rules);
            }

            return builder;
        }
    }

    private static List<Kline> WithFlats(IEnumerable<Kline> klines, DateTimeOffset finalUntil)
    {
        var result = new List<Kline>();
        foreach (var kline in klines)
        {
            while (result.Count > 0 && result[^1].EndTime < kline.OpenTime)
            {
                var open = result[^1].EndTime;
                result.Add(Kline.Flat(kline.Interval, open, result[^1].Close, isFinal: open + kline.Interval.Length() <= finalUntil));
            }

            result.Add(kline);
        }

        return result;
    }

    private static RecordingFormat? Guess(string path)
    {
        string line;
        try
        {
            using var file = File.OpenRead(path);
            var head = new byte[LongestFirstLine];
            var length = file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
            line = Encoding.UTF8.GetString(head, 0, length).Split('\n')[0];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new Failure($"'{path}' cannot be read: {error.Message}", error);
        }

        return line switch
        {
            _ when line.Contains("logsNotification", StringComparison.Ordinal) => RecordingFormat.SolanaLogs,
            _ when line.Contains("\"aggTrade\"", StringComparison.Ordinal) || line.Contains("@aggTrade", StringComparison.Ordinal) => RecordingFormat.BinanceFrames,
            _ when path.EndsWith(".csv", StringComparison.OrdinalIgnoreCase) && line.Split(',').Length is 7 or 8 => RecordingFormat.BinanceAggTradesCsv,
            _ when line.StartsWith('{') => RecordingFormat.SpinPetEventsJson,
            _ => null,
        };
    }
}

using System.Diagnostics;
using System.Globalization;
using KlineOrleans.Contracts;
using KlineOrleans.Storage.Postgres;
using KlineOrleans.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>Final klines a second into the PostgreSQL archive, in turns with binary COPY alone of the same rows into a table without indexes, in one run.</summary>
internal static class PostgresThroughput
{
    private const int Symbols = 1_000;
    private const int KlinesPerWrite = 20;

    public static async Task Run(string[] args)
    {
        var rounds = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 5;
        if (!PostgresDatabase.Exists)
        {
            Console.WriteLine(PostgresDatabase.SkipReason);
            return;
        }

        await using var database = await PostgresDatabase.Create();
        await using var store = new PostgresStore(database.ConnectionString, shared: false, TimeProvider.System, NullLogger<PostgresStore>.Instance);
        var archive = new PostgresKlineArchive(store);
        await store.Open();
        await database.Execute("CREATE TABLE copied (LIKE kline)");
        await using var connection = new NpgsqlConnection(database.ConnectionString);
        await connection.OpenAsync();
        string[] symbols = [.. Enumerable.Range(0, Symbols).Select(i => $"6zRWT4aBUDVYQhYTdWvXnFVZxfMqA8TyqFsbLF{i:D4}pump")];
        List<(double Copied, double Written)> measured = [];
        for (var round = 0; round < rounds; round++)
        {
            var rows = Enumerable.Range(0, 3).Select(part => symbols.Select((_, s) => ArchiveBenchmarks.Klines((round * 3 + part) * KlinesPerWrite, KlinesPerWrite, s)).ToArray()).ToArray();
            var count = 3 * Symbols * KlinesPerWrite;

            var clock = Stopwatch.GetTimestamp();
            foreach (var part in rows)
            {
                // As large as a batch of the store, and committed as often.
                foreach (var batch in part.Chunk(8_192 / KlinesPerWrite))
                    Copy(connection, batch);
            }

            var copy = count / Stopwatch.GetElapsedTime(clock).TotalSeconds;
            clock = Stopwatch.GetTimestamp();
            foreach (var part in rows)
                await Task.WhenAll(part.Select((klines, s) => archive.Write(symbols[s], klines)));
            var archived = count / Stopwatch.GetElapsedTime(clock).TotalSeconds;
            Console.WriteLine($"round {round + 1}: COPY alone {copy:N0} rows/s, archive {archived:N0} rows/s: {archived / copy:P0}");
            if (round > 0)
            {
                measured.Add((copy, archived));
            }
        }

        Console.WriteLine($"medians after the first round: COPY alone {Median(measured.Select(m => m.Copied)):N0} rows/s, archive {Median(measured.Select(m => m.Written)):N0} rows/s, ratio {Median(measured.Select(m => m.Written / m.Copied)):P0} "
            + $"({measured.Min(m => m.Written / m.Copied):P0} to {measured.Max(m => m.Written / m.Copied):P0}); {store.Current.Commits} commits for {store.Current.RowsWritten:N0} rows");
        var clock2 = Stopwatch.GetTimestamp();
        var pruned = await store.Prune(KlineInterval.S1, DateTimeOffset.MaxValue.AddYears(-1));
        Console.WriteLine($"pruning: {pruned / Stopwatch.GetElapsedTime(clock2).TotalSeconds:N0} rows/s");
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private static void Copy(NpgsqlConnection connection, Kline[][] batch)
    {
        using var import = connection.BeginBinaryImport($"COPY copied ({PostgresKlineRow.AllColumns}) FROM STDIN (FORMAT binary)");
        for (var s = 0; s < batch.Length; s++)
        {
            foreach (var kline in batch[s])
                PostgresKlineRow.Write(import, s, kline);
        }

        import.Complete();
    }
}

namespace KlineOrleans.Silo.Setup;

/// <summary>The command line's form: settings as <c>--key value</c> or <c>--key=value</c>.</summary>
internal static class CommandLine
{
    public const string Help = """
        KlineOrleans: real-time klines.

        Usage: ./run [--key value ...]
               ./run backup FILE [--key value ...]       copy the store into a file, also while a server runs
               ./run restore FILE [--key value ...]      make the store from such a file
               ./run schema [--key value ...]            make the tables of a cluster, for servers that may not
               ./run health URL                          end with 0 if a server answers there, else with 1

        Without settings: a simulated market on http://127.0.0.1:8080, stored in data/kline.db.
          --urls http://127.0.0.1:9000                 another address
          --Kline:Storage:Path FILE                    another store
          --Kline:Storage:Retention:s1 7.00:00:00      keep klines of an interval so long; without it, for ever
          --Kline:Storage:Provider Postgres            keep them in PostgreSQL, with
          --Kline:Storage:ConnectionString TEXT          Host=...;Database=...;Username=...;Password=...
          --Kline:Sources:0:Kind Replay                play a recording:
          --Kline:Sources:0:Format BinanceAggTradesCsv   SolanaLogs, BinanceAggTradesCsv, BinanceFrames or SpinPetEventsJson
          --Kline:Sources:0:Path FILE                    the recording
          --Kline:Sources:0:Symbol XRPETH                its symbol, for the CSV
          --Kline:Sources:0:Speed 0                      0: as fast as possible; 1: as recorded

          --Kline:Role Silo                            one of many processes, with Postgres: Silo reads sources and builds klines,
          --Kline:Role Web                               Web serves clients (engine Orleans only)

        Every setting can also stand in the environment (Kline__Storage__Path) or in appsettings.json beside the program.
        README.md names them all.
        """;

    /// <summary>What is wrong with the arguments' form; null if nothing is.</summary>
    public static string? Check(string[] args)
    {
        for (var i = 0; i < args.Length; i++)
        {
            var arg = args[i];
            if (!arg.StartsWith("--", StringComparison.Ordinal) || arg.Length == 2)
            {
                return $"'{arg}' is not a setting. Allowed: --key value or --key=value; --help lists the most used.";
            }

            if (!arg.Contains('=', StringComparison.Ordinal) && ++i == args.Length)
            {
                return $"{arg[2..]}: the value is missing. Allowed: --key value or --key=value.";
            }
        }

        return null;
    }
}

using System.Globalization;

namespace KlineOrleans.Cli.Tests;

/// <summary>A made-up day of an exchange's aggregate trades, as its CSV files are written. The same seed makes the same trades.</summary>
internal static class TradeFile
{
    public static readonly DateTimeOffset Begin = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    public static void Write(string path, int trades, int seed = 1)
    {
        var random = new Random(seed);
        using var file = new StreamWriter(path);
        file.WriteLine("agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker,is_best_match");
        var time = Begin.ToUnixTimeMilliseconds();
        var price = 0.0014m;
        for (var i = 0; i < trades; i++)
        {
            time += random.Next(0, 20_000);
            price = Math.Max(0.001m, price + (random.Next(-20, 21) * 0.00000001m));
            file.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{1_000 + i},{price},{random.Next(1, 900)}.00000000,{5_000 + i},{5_000 + i},{time},{(random.Next(2) == 0 ? "True" : "False")},True"));
        }
    }

    /// <summary>Changes the price of one trade, in the middle, to one that stands out.</summary>
    /// <returns>The time of the trade.</returns>
    public static DateTimeOffset Alter(string path)
    {
        var lines = File.ReadAllLines(path);
        var fields = lines[lines.Length / 2].Split(',');
        fields[1] = "0.09999999";
        lines[lines.Length / 2] = string.Join(',', fields);
        File.WriteAllLines(path, lines);
        return DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(fields[5], CultureInfo.InvariantCulture));
    }
}

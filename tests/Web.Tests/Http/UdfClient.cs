using System.Globalization;
using System.Text.Json;

namespace KlineOrleans.Web.Tests;

/// <summary>A bar as the charting library holds it.</summary>
internal readonly record struct Bar(long Time, double Open, double High, double Low, double Close, double Volume);

/// <summary>Asks as TradingView's UDF-compatible datafeed does, and fails where that would show an error or draw nonsense.</summary>
internal sealed class UdfClient(HttpClient http)
{
    public async Task<JsonElement> Json(string path)
    {
        using var response = await http.GetAsync(path);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        using var json = JsonDocument.Parse(text);
        return json.RootElement.Clone();
    }

    /// <summary>One getBars: bars ascending, or none with where to look on.</summary>
    public async Task<(List<Bar> Bars, long? NextTime)> GetBars(string symbol, string resolution, long from, long to, int? countback = null)
    {
        var path = string.Create(CultureInfo.InvariantCulture, $"/udf/history?symbol={Uri.EscapeDataString(symbol)}&resolution={resolution}&from={from}&to={to}{(countback is null ? "" : $"&countback={countback}")}");
        var answer = await Json(path);
        switch (answer.GetProperty("s").GetString())
        {
            case "ok":
                var columns = ((string[])["t", "o", "h", "l", "c", "v"]).Select(n => answer.GetProperty(n).EnumerateArray().Select(v => v.GetDouble()).ToArray()).ToArray();
                Assert.All(columns, c => Assert.Equal(columns[0].Length, c.Length));
                List<Bar> bars = [.. Enumerable.Range(0, columns[0].Length).Select(i => new Bar((long)columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i]))];
                Assert.All(bars.Zip(bars.Skip(1)), pair => Assert.True(pair.First.Time < pair.Second.Time, "putToCacheNewBar: time violation"));
                Assert.All(bars, bar => Assert.True(bar.Time < to, "a bar beyond the range"));
                return (bars, null);
            case "no_data":
                return ([], answer.TryGetProperty("nextTime", out var next) ? next.GetInt64() : null);
            default:
                throw new InvalidOperationException(answer.GetProperty("errmsg").GetString());
        }
    }

    /// <summary>Everything there is, as a chart gets it when it is scrolled to the left: backwards, each time from the oldest bar on.</summary>
    public async Task<List<Bar>> Scroll(string symbol, string resolution, long now, long step, int countback)
    {
        List<Bar> all = [];
        var to = now;
        while (true)
        {
            var (bars, next) = await GetBars(symbol, resolution, to - (step * countback), to, countback);
            if (bars.Count == 0)
            {
                Assert.Null(next);
                return all;
            }

            all.InsertRange(0, bars);
            to = bars[0].Time;
        }
    }
}

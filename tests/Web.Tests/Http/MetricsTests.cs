using System.Diagnostics.Metrics;
using System.Text.Json;
using KlineOrleans.Contracts;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests;

public sealed class MetricsTests
{
    private static readonly DateTimeOffset Start = TestKlines.Start;

    [Fact]
    public async Task Metrics_of_every_kind_are_text_that_a_strict_reader_takes()
    {
        await using var host = await WebHost.Start();
        var meter = host.App.Services.GetRequiredService<IMeterFactory>().Create("KlineOrleans.Test");
        var counter = meter.CreateCounter<long>("test.things", "{thing}", "Things \\ with\nlines.");
        counter.Add(2, new KeyValuePair<string, object?>("kind", "a \"quoted\" \\ \n one"));
        counter.Add(3, new KeyValuePair<string, object?>("kind", "a \"quoted\" \\ \n one"));
        counter.Add(1, new("kind", "b"), new("where", 7));
        meter.CreateCounter<double>("test.sent", "By").Add(0.5);
        var upDown = meter.CreateUpDownCounter<int>("test-open");
        upDown.Add(5);
        upDown.Add(-2);
        meter.CreateGauge<float>("1st.gauge").Record(float.NegativeInfinity);
        var histogram = meter.CreateHistogram<double>("test.wait", "s", "Waits.");
        histogram.Record(0.0001);
        histogram.Record(0.3);
        histogram.Record(1_000);
        meter.CreateHistogram("test.sizes", advice: new InstrumentAdvice<long> { HistogramBucketBoundaries = [1, 2] }, unit: null, description: null, tags: null).Record(2);
        var observed = 7L;
        meter.CreateObservableCounter("test.seen", () => observed);
        meter.CreateObservableGauge("test.broken", int () => throw new InvalidOperationException("broken"));

        await Read(host);
        observed = 8;
        var samples = await Read(host);

        Assert.Equal(5, Value("test_things_total", ("kind", "a \"quoted\" \\ \n one")));
        Assert.Equal(1, Value("test_things_total", ("kind", "b"), ("where", "7")));
        Assert.Equal(0.5, Value("test_sent_bytes_total"));
        Assert.Equal(3, Value("test_open"));
        Assert.Equal(double.NegativeInfinity, Value("_1st_gauge"));
        Assert.Equal(8, Value("test_seen_total"));
        Assert.Equal(1, Value("test_wait_seconds_bucket", ("le", "0.0001")));
        Assert.Equal(2, Value("test_wait_seconds_bucket", ("le", "10")));
        Assert.Equal(3, Value("test_wait_seconds_count"));
        Assert.Equal(1000.3001, Value("test_wait_seconds_sum"), 6);
        Assert.Equal(0, Value("test_sizes_bucket", ("le", "1")));
        Assert.Equal(1, Value("test_sizes_bucket", ("le", "2")));
        Assert.True(Value("process_start_time_seconds") > 1.7e9);
        Assert.True(Value("process_resident_memory_bytes") > 1e6);
        Assert.True(Value("process_cpu_seconds_total") > 0);
        Assert.Contains(samples, s => s.Name == "dotnet_gc_collections_total");

        double Value(string name, params (string Key, string Value)[] labels) =>
            Assert.Single(samples, s => s.Name == name && s.Labels.Count == labels.Length && labels.All(l => s.Labels.GetValueOrDefault(l.Key) == l.Value)).Value;
    }

    [Fact]
    public async Task Meters_of_another_host_and_of_others_are_left_out()
    {
        await using var host = await WebHost.Start();
        await using var other = await WebHost.Start();
        other.App.Services.GetRequiredService<IMeterFactory>().Create("KlineOrleans.Test").CreateCounter<long>("other.host").Add(1);
        host.App.Services.GetRequiredService<IMeterFactory>().Create("Somebody.Else").CreateCounter<long>("other.meter").Add(1);
        Assert.DoesNotContain(await Read(host), s => s.Name.StartsWith("other_", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Tag_without_end_costs_no_memory_without_end()
    {
        await using var host = await WebHost.Start();
        var counter = host.App.Services.GetRequiredService<IMeterFactory>().Create("KlineOrleans.Test").CreateCounter<long>("test.many");
        for (var i = 0; i < 5_000; i++)
        {
            counter.Add(1, new KeyValuePair<string, object?>("who", $"w{i}"));
        }

        Assert.Equal(1_000, (await Read(host)).Count(s => s.Name == "test_many_total"));
    }

    [Fact]
    public async Task What_a_client_gets_shows_in_every_figure_and_is_gone_when_it_is()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(WebHost.Mint);
        var client = await HubClient.Connect(host);
        await client.Result("Subscribe", $$"""{"symbol":"{{WebHost.Mint}}","intervals":["m1","m5"]}""");
        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1)));
        await client.Next("kline");

        // What was sent is counted once the transport has taken it, which the client may see first.
        using var metrics = await Until(host, "/api/ws/metrics", d => d.GetProperty("latency_ms").GetProperty("count").GetInt64() == 1);
        var data = metrics.RootElement.GetProperty("data");
        Assert.Equal(1, data.GetProperty("active_connections").GetInt64());
        Assert.Equal(1, data.GetProperty("connections_by_wire").GetProperty("signalr").GetInt64());
        Assert.Equal(2, data.GetProperty("total_subscriptions").GetInt64());
        Assert.Equal(1, data.GetProperty("monitored_mints").GetInt64());
        Assert.Equal(WebHost.Mint, data.GetProperty("top_mints")[0].GetProperty("mint").GetString());
        Assert.True(data.GetProperty("messages").GetProperty("sent").GetInt64() >= 2);
        Assert.True(data.GetProperty("latency_ms").GetProperty("p50").GetDouble() > 0);
        using var stats = await Get(host, "/api/kline/stats");
        Assert.Equal(2, stats.RootElement.GetProperty("data").GetProperty("total_subscriptions").GetInt64());
        using var status = await Get(host, "/api/kline/status");
        Assert.Equal(1, status.RootElement.GetProperty("data").GetProperty("stats").GetProperty("active_connections").GetInt64());
        Assert.Equal(100, status.RootElement.GetProperty("data").GetProperty("stats").GetProperty("config").GetProperty("max_subscriptions_per_client").GetInt32());

        using var listed = await Get(host, "/api/kline/subscriptions");
        var all = listed.RootElement.GetProperty("data");
        Assert.Equal(2, all.GetProperty("total_rooms").GetInt32());
        var room = all.GetProperty("rooms")[0];
        Assert.Equal($"kline:{WebHost.Mint}:m1", room.GetProperty("room_name").GetString());
        Assert.Equal(all.GetProperty("clients")[0].GetProperty("socket_id").GetString(), room.GetProperty("subscribers")[0].GetString());
        Assert.Equal(2, all.GetProperty("clients")[0].GetProperty("subscription_count").GetInt32());
        var samples = await Read(host);
        Assert.Equal(1, samples.Single(s => s.Name == "kline_web_connections" && s.Labels["wire"] == "signalr").Value);
        Assert.Equal(1, samples.Single(s => s.Name == "kline_web_update_duration_seconds_count").Value);

        await client.DisposeAsync();
        using var gone = await Until(host, "/api/ws/metrics", d => d.GetProperty("active_connections").GetInt64() == 0);
        Assert.Equal(0, gone.RootElement.GetProperty("data").GetProperty("total_subscriptions").GetInt64());
        Assert.Empty(gone.RootElement.GetProperty("data").GetProperty("connections_by_wire").EnumerateObject());
    }

    [Fact]
    public void Latency_quantiles_are_within_an_eighth_and_never_too_low()
    {
        var random = new Random(7);
        var histogram = new LatencyHistogram();
        Assert.Equal(TimeSpan.Zero, histogram.Quantile(0.5));
        var all = new double[20_000];
        for (var i = 0; i < all.Length; i++)
        {
            all[i] = Math.Floor(Math.Exp(random.NextDouble() * 18));
            histogram.Record(TimeSpan.FromMicroseconds(all[i]));
        }

        Array.Sort(all);
        foreach (var quantile in (double[])[0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1])
        {
            var exact = all[Math.Max(0, (int)Math.Ceiling(all.Length * quantile) - 1)];
            var found = histogram.Quantile(quantile).TotalMicroseconds;
            Assert.InRange(found, exact, (exact * 1.126) + 1);
        }

        Assert.Equal(all.Length, histogram.Count);
        histogram.Record(TimeSpan.FromDays(300));
        histogram.Record(TimeSpan.FromSeconds(-1));
        Assert.Equal(all.Length + 2, histogram.Count);
    }

    private static async Task<List<Sample>> Read(WebHost host)
    {
        using var response = await host.Http.GetAsync("/metrics");
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", response.Content.Headers.ContentType!.ToString());
        return PrometheusReader.Read(await response.Content.ReadAsStringAsync());
    }

    private static async Task<JsonDocument> Get(WebHost host, string path) => JsonDocument.Parse(await host.Http.GetStringAsync(path));

    private static async Task<JsonDocument> Until(WebHost host, string path, Func<JsonElement, bool> holds)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (true)
        {
            var json = await Get(host, path);
            if (holds(json.RootElement.GetProperty("data")))
            {
                return json;
            }

            json.Dispose();
            patience.Token.ThrowIfCancellationRequested();
        }
    }
}

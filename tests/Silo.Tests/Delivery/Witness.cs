using System.Text.Json;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Clients;

namespace KlineOrleans.Silo.Tests.Delivery;

/// <summary>Clients of the hub that follow everything from the start and read at once: what others should have got is compared with what these got. Thread safe.</summary>
/// <remarks>Its own updates are proved by their numbers, which have no gap but those that the server counted as skipped, and its last klines by the archive.</remarks>
internal sealed class Witness : IAsyncDisposable
{
    private readonly Dictionary<string, Story> _stories;
    private readonly List<KlineClient> _clients = [];
    private readonly List<Task> _reading = [];
    private long _skipped;

    private Witness(IReadOnlyList<string> symbols) => _stories = symbols.ToDictionary(s => s, _ => new Story(), StringComparer.Ordinal);

    public long Updates => _stories.Values.Sum(s => s.Count);

    /// <summary>Updates that the server left out for the witness itself.</summary>
    public long Skipped => Interlocked.Read(ref _skipped);

    /// <summary>Whether all its connections are there.</summary>
    public bool IsWhole => _reading.TrueForAll(r => !r.IsCompleted);

    public static async Task<Witness> Start(Uri address, HttpClient http, IReadOnlyList<string> symbols, IReadOnlyList<string> intervals, int connections)
    {
        var witness = new Witness(symbols);
        for (var i = 0; i < connections; i++)
        {
            var client = await KlineClient.Connect(Wire.Hub, address, http);
            witness._clients.Add(client);
            var confirmed = new SemaphoreSlim(0);
            witness._reading.Add(witness.Read(client, confirmed));
            foreach (var symbol in symbols.Where((_, n) => n % connections == i))
            {
                await client.Subscribe(symbol, intervals, limit: 1_000);
                Assert.True(await confirmed.WaitAsync(TimeSpan.FromSeconds(60)));
            }
        }

        return witness;
    }

    public Story Of(string symbol) => _stories[symbol];

    /// <summary>The numbers of updates that are missing, over all symbols.</summary>
    public long Gaps() => _stories.Values.Sum(s => s.Gaps);

    /// <summary>Compares the newest version of every kline with what the server stored.</summary>
    /// <returns>How many klines were compared.</returns>
    public async Task<int> CompareWithArchive(ServerProcess server, IReadOnlyList<string> intervals)
    {
        var compared = 0;
        foreach (var (symbol, story) in _stories)
        {
            foreach (var interval in intervals)
            {
                var newest = story.Newest(interval);
                var seen = 0;
                foreach (var stored in await Klines(server, symbol, interval))
                {
                    if (newest.TryGetValue(stored.OpenTime, out var kline))
                    {
                        Assert.Equal(stored, kline);
                        compared++;
                        seen++;
                    }
                }

                // None that clients were shown is absent.
                Assert.Equal(newest.Count, seen);
            }
        }

        return compared;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var client in _clients)
        {
            client.Link.Abort();
        }

        await Task.WhenAll(_reading);
        foreach (var client in _clients)
        {
            await client.DisposeAsync();
        }
    }

    private static async Task<List<WireKline>> Klines(ServerProcess server, string symbol, string interval)
    {
        List<WireKline> klines = [];
        var cursor = "";
        while (true)
        {
            var page = await server.Get($"/api/v1/klines/{symbol}/{interval}?from=0&limit=1000{cursor}");
            klines.AddRange(page.GetProperty("klines").EnumerateArray().Select(HubKlineClient.ReadKline));
            if (page.GetProperty("next") is not { ValueKind: JsonValueKind.String } next)
            {
                return klines;
            }

            cursor = "&cursor=" + Uri.EscapeDataString(next.GetString()!);
        }
    }

    private async Task Read(KlineClient client, SemaphoreSlim confirmed)
    {
        while (await client.Read() is { } message)
        {
            switch (message.Kind)
            {
                case WireMessageKind.Confirmed:
                    _stories[message.Symbol].Begin(message.Epoch, message.Seq, message.Klines);
                    confirmed.Release();
                    break;
                case WireMessageKind.Klines:
                    _stories[message.Symbol].Add(message.Epoch, message.Seq, message.Klines);
                    break;
                case WireMessageKind.Skipped:
                    Interlocked.Add(ref _skipped, message.Count);
                    break;
            }
        }
    }
}

/// <summary>Everything that happened to a symbol. Thread safe.</summary>
internal sealed class Story
{
    private readonly Lock _lock = new();
    private readonly List<(long Seq, IReadOnlyList<WireKline> Klines)> _updates = [];
    private IReadOnlyList<WireKline> _before = [];
    private long _epoch;
    private long _first;
    private long _last;

    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _updates.Count;
            }
        }
    }

    public long Last
    {
        get
        {
            lock (_lock)
            {
                return _last;
            }
        }
    }

    public long Gaps
    {
        get
        {
            lock (_lock)
            {
                return _last - _first - _updates.Count;
            }
        }
    }

    /// <summary>Whether the witness was left out of this update, as far as the number tells; any, where there is no number.</summary>
    public bool Lacks(long seq)
    {
        lock (_lock)
        {
            return seq == 0 ? _last - _first > _updates.Count : seq > _first && seq < _last && _updates.BinarySearch((seq, []), BySeq.Instance) < 0;
        }
    }

    public void Begin(long epoch, long seq, IReadOnlyList<WireKline> klines)
    {
        lock (_lock)
        {
            (_epoch, _first, _last, _before) = (epoch, seq, seq, klines);
        }
    }

    public void Add(long epoch, long seq, IReadOnlyList<WireKline> klines)
    {
        lock (_lock)
        {
            Assert.Equal(_epoch, epoch);
            Assert.True(seq > _last, $"{seq} after {_last}");
            _updates.Add((seq, klines));
            _last = seq;
        }
    }

    /// <summary>The klines at the start, and the updates so far.</summary>
    public (IReadOnlyList<WireKline> Before, (long Seq, IReadOnlyList<WireKline> Klines)[] Updates) Read()
    {
        lock (_lock)
        {
            return (_before, [.. _updates]);
        }
    }

    private sealed class BySeq : IComparer<(long Seq, IReadOnlyList<WireKline> Klines)>
    {
        public static readonly BySeq Instance = new();

        public int Compare((long Seq, IReadOnlyList<WireKline> Klines) x, (long Seq, IReadOnlyList<WireKline> Klines) y) => x.Seq.CompareTo(y.Seq);
    }

    /// <summary>The newest version of each kline of an interval that an update changed.</summary>
    public Dictionary<long, WireKline> Newest(string interval)
    {
        Dictionary<long, WireKline> newest = [];
        foreach (var (_, klines) in Read().Updates)
        {
            foreach (var kline in klines)
            {
                if (kline.Interval == interval)
                {
                    newest[kline.OpenTime] = kline;
                }
            }
        }

        return newest;
    }
}

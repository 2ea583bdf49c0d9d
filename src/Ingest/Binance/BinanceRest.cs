using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Ingest.Binance;

/// <summary>The venue refused a request for good: asking again gives the same answer.</summary>
internal sealed class BinanceRefusedException(string message) : Exception(message);

/// <summary>A symbol as the venue lists it. Immutable.</summary>
/// <param name="ListedTime">Unix ms; null on the spot market, which does not say.</param>
/// <param name="ContractSize">What one contract is worth in <paramref name="QuoteAsset"/>; 0 where amounts are coins.</param>
internal sealed record BinanceSymbol(string Name, string QuoteAsset, bool IsTrading, bool IsPerpetual, long? ListedTime, decimal ContractSize);

/// <summary>An aggregate trade from REST, with the newest of the exchange's trades that it stands for.</summary>
internal readonly record struct RestTrade(Trade Trade, long LastId);

/// <summary>The venue's REST interface, within its limits. Thread safe.</summary>
/// <remarks>
/// Requests wait for their weight: by our own count of the minute, and by the venue's (X-MBX-USED-WEIGHT), which also sees other programs at our address.
/// What makes good a loss goes first: history may use half of a minute's weight only. 429 and 418 stop every request for as long as the venue says.
/// Whatever can be tried again is, for ever, with growing waits; only a refusal comes back as an exception.
/// </remarks>
internal sealed class BinanceRest(BinanceOptions options, TimeProvider time, SkipCounts skipped, ILogger logger) : IDisposable
{
    public const int PageSize = 1_000;

    private const int MaxAtOnce = 4;
    private const int MaxHistoryAtOnce = 2;
    private const long MaxAnswer = 64 * 1024 * 1024;
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LongestBan = TimeSpan.FromDays(3);

    private readonly VenueProfile _venue = VenueProfile.Of(options.Venue);
    private readonly string _address = options.RestAddress.AbsoluteUri.TrimEnd('/') + VenueProfile.Of(options.Venue).RestPath;
    private readonly HttpClient _http = new(new SocketsHttpHandler
    {
        PooledConnectionLifetime = TimeSpan.FromMinutes(5),
        ConnectTimeout = options.ConnectTimeout,
        AutomaticDecompression = DecompressionMethods.All,
        MaxConnectionsPerServer = MaxAtOnce + 1,
    })
    {
        Timeout = Timeout.InfiniteTimeSpan,
        MaxResponseContentBufferSize = MaxAnswer,
    };

    private readonly SemaphoreSlim _slots = new(MaxAtOnce);
    private readonly SemaphoreSlim _historySlots = new(MaxHistoryAtOnce);
    private readonly Lock _lock = new();
    private long _minute;
    private int _used;
    private DateTimeOffset _blockedUntil = DateTimeOffset.MinValue;
    private long _offsetTicks;
    private string? _error;

    /// <summary>What the last request failed of; null once one succeeds.</summary>
    public string? Error => Volatile.Read(ref _error);

    /// <summary>Refusals for the rate (429, 418) so far.</summary>
    public long RateRefusals => Interlocked.Read(ref _rateRefusals);

    private long _rateRefusals;

    /// <summary>The venue's clock, by the offset that <see cref="SyncTime"/> found.</summary>
    public DateTimeOffset Now => time.GetUtcNow() + new TimeSpan(Interlocked.Read(ref _offsetTicks));

    public void Dispose()
    {
        _http.Dispose();
        _slots.Dispose();
        _historySlots.Dispose();
    }

    /// <summary>Measures how far the venue's clock is from ours, to half a round trip.</summary>
    public async Task SyncTime(CancellationToken cancellationToken)
    {
        var (server, sent, received) = await Get("/time", 1, isHistory: false, static json => json.GetProperty("serverTime").GetInt64(), cancellationToken);
        var ours = sent + ((received - sent) / 2);
        Interlocked.Exchange(ref _offsetTicks, (DateTimeOffset.FromUnixTimeMilliseconds(server) - ours).Ticks);
    }

    public async Task<List<BinanceSymbol>> Symbols(CancellationToken cancellationToken) =>
        (await Get("/exchangeInfo", _venue.ExchangeInfoWeight, isHistory: false, ReadSymbols, cancellationToken)).Result;

    /// <summary>Up to <see cref="PageSize"/> trades from the id on, oldest first.</summary>
    public Task<List<RestTrade>> TradesFrom(string symbol, long id, CancellationToken cancellationToken) =>
        Trades(symbol, $"&fromId={id}&limit={PageSize}", isHistory: false, cancellationToken);

    /// <summary>Up to <see cref="PageSize"/> trades from the time on, oldest first, of one hour at most.</summary>
    public Task<List<RestTrade>> TradesSince(string symbol, DateTimeOffset from, CancellationToken cancellationToken)
    {
        var ms = from.ToUnixTimeMilliseconds();
        return Trades(symbol, $"&startTime={ms}&endTime={ms + 3_599_999}&limit={PageSize}", isHistory: true, cancellationToken);
    }

    /// <summary>The newest trade, if there ever was one.</summary>
    public Task<List<RestTrade>> NewestTrade(string symbol, CancellationToken cancellationToken) =>
        Trades(symbol, "&limit=1", isHistory: true, cancellationToken);

    /// <summary>Klines with an open time in [from, to), oldest first, at most <see cref="PageSize"/>. Buckets without a trade are left out.</summary>
    /// <returns>The klines, and how many the venue's answer held.</returns>
    public async Task<(List<Kline> Klines, int Answered, DateTimeOffset LastOpen)> Klines(string symbol, KlineInterval interval, DateTimeOffset from, DateTimeOffset to, decimal contractSize, CancellationToken cancellationToken)
    {
        var query = $"/klines?symbol={Uri.EscapeDataString(symbol)}&interval={interval.ExchangeName()}&startTime={from.ToUnixTimeMilliseconds()}&endTime={to.ToUnixTimeMilliseconds() - 1}&limit={PageSize}";
        return (await Get(query, _venue.KlinesWeight, isHistory: true, json => ReadKlines(json, interval, contractSize), cancellationToken)).Result;
    }

    /// <summary>The newest id of the exchange's trades, by symbol.</summary>
    public async Task<Dictionary<string, long>> NewestIds(CancellationToken cancellationToken) =>
        (await Get("/ticker/24hr", _venue.TickersWeight, isHistory: false, ReadTickers, cancellationToken)).Result;

    private async Task<List<RestTrade>> Trades(string symbol, string query, bool isHistory, CancellationToken cancellationToken) =>
        (await Get($"/aggTrades?symbol={Uri.EscapeDataString(symbol)}{query}", _venue.AggTradesWeight, isHistory, json => ReadTrades(symbol, json), cancellationToken)).Result;

    private async Task<(T Result, DateTimeOffset Sent, DateTimeOffset Received)> Get<T>(string query, int weight, bool isHistory, Func<JsonElement, T> read, CancellationToken cancellationToken)
    {
        if (isHistory)
        {
            await _historySlots.WaitAsync(cancellationToken);
        }

        try
        {
            var retry = options.FirstRetry;
            while (true)
            {
                await WaitForWeight(weight, isHistory, cancellationToken);
                await _slots.WaitAsync(cancellationToken);
                try
                {
                    var sent = time.GetUtcNow();
                    using var limit = new CancellationTokenSource(options.RestTimeout, time);
                    using var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
                    using var request = new HttpRequestMessage(HttpMethod.Get, _address + query);
                    using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseContentRead, both.Token);
                    var received = time.GetUtcNow();
                    Account(response);
                    if (response.IsSuccessStatusCode)
                    {
                        await using var body = await response.Content.ReadAsStreamAsync(both.Token);
                        using var json = await JsonDocument.ParseAsync(body, cancellationToken: both.Token);
                        var result = read(json.RootElement);
                        Volatile.Write(ref _error, null);
                        return (result, sent, received);
                    }

                    if ((int)response.StatusCode is >= 400 and < 500 and not (418 or 429 or 403 or 408))
                    {
                        var text = await response.Content.ReadAsStringAsync(both.Token);
                        throw new BinanceRefusedException($"{(int)response.StatusCode} to {query}: {text[..Math.Min(text.Length, 200)]}");
                    }

                    Fail($"{(int)response.StatusCode} to {query}");
                }
                catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
                {
                    Fail($"no answer within {options.RestTimeout:c} to {query}");
                }
                catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException or OverflowException or ArgumentException)
                {
                    skipped.Add(SkipReason.MalformedFrame);
                    Fail($"an answer that cannot be read to {query}: {e.Message}");
                }
                catch (Exception e) when (e is HttpRequestException or SocketException or IOException)
                {
                    Fail($"{e.Message} ({query})");
                }
                finally
                {
                    _slots.Release();
                }

                await Task.Delay(Jitter(retry), time, cancellationToken);
                retry = retry * 2 < options.LastRetry ? retry * 2 : options.LastRetry;
            }
        }
        finally
        {
            if (isHistory)
            {
                _historySlots.Release();
            }
        }
    }

    private void Fail(string error)
    {
        // Said once for each time that the venue goes away, not for each try.
        if (Interlocked.Exchange(ref _error, $"REST {options.RestAddress.Host}: {error}") is null)
        {
            logger.LogWarning(1313, "{Host} does not answer requests; they are sent again: {Error}", options.RestAddress.Host, error);
        }

        logger.LogDebug(1302, "Request failed and is sent again: {Error}", error);
    }

    /// <summary>Three quarters of the wait to all of it, so that many who wait do not all come back at once.</summary>
    public static TimeSpan Jitter(TimeSpan wait) => wait * (0.75 + (Random.Shared.NextDouble() * 0.25));

    private async Task WaitForWeight(int weight, bool isHistory, CancellationToken cancellationToken)
    {
        while (true)
        {
            TimeSpan wait;
            lock (_lock)
            {
                var now = time.GetUtcNow();
                wait = _blockedUntil - now;
                if (wait <= TimeSpan.Zero)
                {
                    // The venue counts by the minutes of its own clock.
                    var venueNow = Now;
                    var minute = venueNow.UtcTicks / Minute.Ticks;
                    if (minute != _minute)
                    {
                        (_minute, _used) = (minute, 0);
                    }

                    var most = isHistory ? options.RestWeightPerMinute / 2 : options.RestWeightPerMinute;
                    if (_used == 0 || _used + weight <= most)
                    {
                        _used += weight;
                        return;
                    }

                    wait = new DateTimeOffset((minute + 1) * Minute.Ticks, TimeSpan.Zero) - venueNow + TimeSpan.FromMilliseconds(50);
                }
            }

            await Task.Delay(wait, time, cancellationToken);
        }
    }

    private void Account(HttpResponseMessage response)
    {
        var now = time.GetUtcNow();
        lock (_lock)
        {
            foreach (var name in (ReadOnlySpan<string>)["X-MBX-USED-WEIGHT-1M", "X-MBX-USED-WEIGHT"])
            {
                if (response.Headers.TryGetValues(name, out var values) && int.TryParse(values.First(), NumberStyles.None, CultureInfo.InvariantCulture, out var used))
                {
                    _used = Math.Max(_used, used);
                    break;
                }
            }

            if ((int)response.StatusCode is not (418 or 429 or 403))
            {
                return;
            }

            _rateRefusals++;
            var told = response.Headers.RetryAfter;
            var wait = told?.Delta ?? (told?.Date is { } date ? date - now : (int)response.StatusCode == 429 ? Minute : 2 * Minute);
            var until = now + (wait < TimeSpan.Zero ? TimeSpan.Zero : wait > LongestBan ? LongestBan : wait);
            _blockedUntil = until > _blockedUntil ? until : _blockedUntil;
            logger.LogWarning(1303, "{Host} answers {Status}: no request for {Wait}", options.RestAddress.Host, (int)response.StatusCode, wait);
        }
    }

    private static List<BinanceSymbol> ReadSymbols(JsonElement json)
    {
        var symbols = new List<BinanceSymbol>();
        foreach (var item in json.GetProperty("symbols").EnumerateArray())
        {
            var status = item.TryGetProperty("status", out var s) || item.TryGetProperty("contractStatus", out s) ? s.GetString() : null;
            symbols.Add(new BinanceSymbol(
                item.GetProperty("symbol").GetString()!,
                item.TryGetProperty("quoteAsset", out var quote) ? quote.GetString()! : "",
                status == "TRADING",
                !item.TryGetProperty("contractType", out var type) || type.ValueEquals("PERPETUAL"),
                item.TryGetProperty("onboardDate", out var listed) ? listed.GetInt64() : null,
                item.TryGetProperty("contractSize", out var size) ? size.GetDecimal() : 0));
        }

        return symbols;
    }

    private List<RestTrade> ReadTrades(string symbol, JsonElement json)
    {
        var trades = new List<RestTrade>(json.GetArrayLength());
        foreach (var item in json.EnumerateArray())
        {
            var last = item.GetProperty("l").GetInt64();
            if (AggTrades.TryCreate(
                symbol,
                item.GetProperty("a").GetInt64(),
                Number(item.GetProperty("p")),
                Number(item.GetProperty("q")),
                item.GetProperty("f").GetInt64(),
                last,
                item.GetProperty("T").GetInt64(),
                item.GetProperty("m").GetBoolean(),
                out var trade,
                out var reason))
            {
                trades.Add(new RestTrade(trade, last));
            }
            else
            {
                // The sequence goes on after it: its id is then missing, and said to be.
                skipped.Add(reason);
            }
        }

        return trades;
    }

    private static (List<Kline> Klines, int Answered, DateTimeOffset LastOpen) ReadKlines(JsonElement json, KlineInterval interval, decimal contractSize)
    {
        var klines = new List<Kline>(json.GetArrayLength());
        var lastOpen = DateTimeOffset.MinValue;
        foreach (var item in json.EnumerateArray())
        {
            lastOpen = DateTimeOffset.FromUnixTimeMilliseconds(item[0].GetInt64());
            var count = item[8].GetInt64();
            if (count == 0)
            {
                continue;
            }

            if (interval.OpenTime(lastOpen) != lastOpen)
            {
                throw new FormatException($"a kline {interval.ExchangeName()} that opens at {lastOpen:O}");
            }

            // COIN-M: amounts are contracts, and what the venue calls quote is the coin. Ours is what the contracts are worth.
            var volume = Number(item[5]);
            var taker = Number(item[9]);
            Price open = new(Number(item[1])), high = new(Number(item[2])), low = new(Number(item[3]));
            klines.Add(BinanceHistory.Final(interval, lastOpen) with
            {
                Open = open,
                FirstPrice = open,
                High = high,
                TradeHigh = high,
                Low = low,
                TradeLow = low,
                Close = new Price(Number(item[4])),
                BaseVolume = volume,
                QuoteVolume = contractSize > 0 ? volume * contractSize : Number(item[7]),
                TradeCount = count,
                TakerBuyBaseVolume = taker,
                TakerBuyQuoteVolume = contractSize > 0 ? taker * contractSize : Number(item[10]),
                UpdateCount = (int)Math.Min(count, int.MaxValue),
            });
        }

        return (klines, json.GetArrayLength(), lastOpen);
    }

    private static Dictionary<string, long> ReadTickers(JsonElement json)
    {
        var ids = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (var item in json.EnumerateArray())
        {
            ids[item.GetProperty("symbol").GetString()!] = item.GetProperty("lastId").GetInt64();
        }

        return ids;
    }

    private static decimal Number(JsonElement json) =>
        decimal.Parse(json.GetString()!, NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
}

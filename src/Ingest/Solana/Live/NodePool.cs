using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>Asks nodes over HTTP: the one that is subscribed to first, another when it fails. Bounded in requests at once. Thread safe.</summary>
internal sealed class NodePool : IDisposable
{
    // A block's signatures are below 1 MB; a page of signatures with memos below 10.
    private const int MaxAnswer = 32 << 20;

    private const string GenesisMethod = "getGenesisHash";

    /// <summary>How long a node of another cluster is left alone: it is most likely a wrong setting.</summary>
    private static readonly TimeSpan ForeignWait = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(15);

    private readonly SolanaOptions _options;
    private readonly TimeProvider _time;
    private readonly LiveFigures _figures;
    private readonly HttpClient _http;
    private readonly SemaphoreSlim _room;
    private long _id;
    private int _preferred;
    private string? _genesis;

    public NodePool(SolanaOptions options, TimeProvider time, LiveFigures figures)
    {
        _options = options;
        _time = time;
        _figures = figures;
        _room = new SemaphoreSlim(options.MaxRequests);
        _http = new HttpClient(new SocketsHttpHandler
        {
            // An address may move to another machine.
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
            AutomaticDecompression = DecompressionMethods.All,
            MaxConnectionsPerServer = options.MaxRequests,
        })
        {
            MaxResponseContentBufferSize = MaxAnswer,
            Timeout = Timeout.InfiniteTimeSpan,
        };
        Nodes = [.. options.Endpoints.Select(e => new NodeHealth(e, time))];
    }

    public ImmutableArray<NodeHealth> Nodes { get; }

    /// <summary>The node that is asked first: an index of <see cref="Nodes"/>.</summary>
    public int Preferred
    {
        get => Volatile.Read(ref _preferred);
        set => Volatile.Write(ref _preferred, value);
    }

    /// <summary>The hash of the first block of the cluster that is followed: the saved position's, or the first that a node told of. Null until one is known.</summary>
    public string? Genesis
    {
        get => Volatile.Read(ref _genesis);
        set => Volatile.Write(ref _genesis, value);
    }

    /// <summary>The newest slot that any node told of.</summary>
    public long BestSlot => Nodes.Max(n => n.Slot);

    public void Dispose()
    {
        _http.Dispose();
        _room.Dispose();
    }

    /// <summary>Asks until there is a result, with growing pauses: one node after the other.</summary>
    /// <param name="parameters">The JSON array of the parameters.</param>
    /// <param name="read">Takes the result; throws <see cref="FormatException"/> if it is not what it should be.</param>
    /// <param name="maxAttempts">After so many the newest failure is thrown.</param>
    /// <exception cref="RpcException">A node refuses what no other would grant, or the attempts are used up.</exception>
    public async Task<T> Call<T>(string method, string parameters, Func<JsonElement, T> read, CancellationToken cancellationToken, int maxAttempts = int.MaxValue)
    {
        for (var attempt = 0; ; attempt++)
        {
            var node = Choose(attempt);
            try
            {
                await WaitUntil(node.NotBefore, cancellationToken);
                await _room.WaitAsync(cancellationToken);
                try
                {
                    return await CallOnce(node, method, parameters, read, cancellationToken);
                }
                finally
                {
                    _room.Release();
                }
            }
            catch (RpcException e) when (e.IsTransient && attempt + 1 < maxAttempts)
            {
                _figures.Warn($"http:{node.Endpoint.Name}:{e.Origin}", $"{node.Endpoint.Name}: {method}: {e.Message}");

                // Another node can be asked at once.
                if ((attempt + 1) % Nodes.Length == 0)
                {
                    var delay = Backoff.Delay(attempt / Nodes.Length, FirstRetry, LastRetry);
                    await Task.Delay(delay, _time, cancellationToken);
                }
            }
        }
    }

    /// <summary>Asks one node once.</summary>
    public async Task<T> CallOnce<T>(NodeHealth node, string method, string parameters, Func<JsonElement, T> read, CancellationToken cancellationToken)
    {
        if (!node.IsOfCluster)
        {
            await CheckCluster(node, cancellationToken);
        }

        _figures.Add(LiveFigures.Requests);
        try
        {
            var result = await Send(node, method, parameters, read, cancellationToken);
            node.Succeeded();
            return result;
        }
        catch (RpcException e) when (e.IsTransient)
        {
            _figures.Add(LiveFigures.RequestsRefused);
            node.Failed($"{method}: {e.Message}", e.RetryAfter ?? TimeSpan.Zero);
            throw;
        }
    }

    /// <summary>Asks a node for its cluster, and refuses one that is of another.</summary>
    /// <exception cref="RpcException">It is of another cluster, or it did not say.</exception>
    public async Task CheckCluster(NodeHealth node, CancellationToken cancellationToken)
    {
        string told;
        _figures.Add(LiveFigures.Requests);
        try
        {
            told = await Send(node, GenesisMethod, "[]", static result => result.GetString() ?? throw new FormatException("no hash"), cancellationToken);
        }
        catch (RpcException e) when (!e.IsTransient)
        {
            // It does not serve the method: whose it is cannot be known.
            _figures.Warn($"cluster:{node.Endpoint.Name}", $"{node.Endpoint.Name}: does not tell its cluster ({e.Message}); it is taken as configured");
            node.IsOfCluster = true;
            return;
        }
        catch (RpcException e)
        {
            _figures.Add(LiveFigures.RequestsRefused);
            node.Failed($"{GenesisMethod}: {e.Message}", e.RetryAfter ?? TimeSpan.Zero);
            throw;
        }

        // The first to answer says which cluster it is.
        var followed = Interlocked.CompareExchange(ref _genesis, told, null) ?? told;
        if (followed != told)
        {
            var reason = $"is of another cluster: its genesis hash is {(told.Length > 64 ? told[..64] : told)}, that of the saved position or of the first endpoint is {followed}";
            node.Failed(reason, ForeignWait);
            throw new RpcException(RpcOrigin.Cluster, 0, reason);
        }

        node.IsOfCluster = true;
    }

    private async Task<T> Send<T>(NodeHealth node, string method, string parameters, Func<JsonElement, T> read, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(_options.RequestTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            var id = Interlocked.Increment(ref _id);
            using var request = new HttpRequestMessage(HttpMethod.Post, node.Endpoint.Http);
            request.Content = new StringContent(string.Create(CultureInfo.InvariantCulture, $"{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{parameters}}}"), Encoding.UTF8, "application/json");
            using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseContentRead, either.Token);
            if (!response.IsSuccessStatusCode)
            {
                throw new RpcException(RpcOrigin.Http, (int)response.StatusCode, $"HTTP status {(int)response.StatusCode}", RetryAfter(response.Headers.RetryAfter));
            }

            await using var stream = await response.Content.ReadAsStreamAsync(either.Token);
            using var document = await JsonDocument.ParseAsync(stream, default, either.Token);
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
            {
                throw new FormatException("the answer is no object");
            }

            if (root.TryGetProperty("error", out var error) && error.ValueKind == JsonValueKind.Object)
            {
                var code = error.TryGetProperty("code", out var c) && c.ValueKind == JsonValueKind.Number && c.TryGetInt32(out var number) ? number : 0;
                var message = error.TryGetProperty("message", out var m) && m.ValueKind == JsonValueKind.String ? m.GetString()! : "no message";
                throw new RpcException(RpcOrigin.Node, code, $"{code}: {(message.Length > 200 ? message[..200] : message)}");
            }

            if (!root.TryGetProperty("result", out var result))
            {
                throw new FormatException("the answer has no result");
            }

            return read(result);
        }
        catch (OperationCanceledException e) when (timeout.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new RpcException(RpcOrigin.Timeout, 0, $"no answer within {_options.RequestTimeout.TotalSeconds:0.#} s", inner: e);
        }
        catch (Exception e) when (e is HttpRequestException or SocketException or IOException)
        {
            throw new RpcException(RpcOrigin.Transport, 0, e.Message, inner: e);
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException or KeyNotFoundException)
        {
            throw new RpcException(RpcOrigin.Malformed, 0, $"not the answer that it should be: {e.Message}", inner: e);
        }
    }

    private TimeSpan? RetryAfter(RetryConditionHeaderValue? header)
    {
        var wait = header?.Delta ?? (header?.Date is { } date ? date - _time.GetUtcNow() : null);

        // A node that sends us away for longer is no node to wait for; and a clock that is off must not stop us.
        return wait is { } w ? TimeSpan.FromTicks(Math.Clamp(w.Ticks, 0, TimeSpan.TicksPerMinute)) : null;
    }

    private async Task WaitUntil(DateTimeOffset until, CancellationToken cancellationToken)
    {
        var wait = until - _time.GetUtcNow();
        if (wait > TimeSpan.Zero)
        {
            await Task.Delay(wait, _time, cancellationToken);
        }
    }

    // The preferred one; on the next attempts the others in turn. One that asked to be left alone comes last.
    private NodeHealth Choose(int attempt)
    {
        var now = _time.GetUtcNow();
        NodeHealth? chosen = null;
        for (var i = 0; i < Nodes.Length; i++)
        {
            var node = Nodes[(Preferred + attempt + i) % Nodes.Length];
            if (node.NotBefore <= now)
            {
                return node;
            }

            chosen = chosen is null || node.NotBefore < chosen.NotBefore ? node : chosen;
        }

        return chosen!;
    }
}

using System.Globalization;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>One connection to a node: subscribes to the logs of every program and to slots, and reads until it ends. Used once.</summary>
/// <remarks>The loop that reads never waits for what follows: log frames go into a bounded queue, and one that does not fit is counted and told.</remarks>
/// <param name="onSubscribed">Every subscription is confirmed.</param>
/// <param name="onOverflow">A log frame found no room.</param>
internal sealed class NodeSocket(
    NodeHealth node, SolanaOptions options, TimeProvider time, FrameQueue queue, SkipCounts skipped, LiveFigures figures, Action onSubscribed, Action onOverflow)
{
    private const int FirstBuffer = 64 * 1024;

    // What stands before the method's name in a notification as nodes write it; anything else is read in full.
    private const int Head = 96;

    private readonly HashSet<ulong> _asked = [];
    private readonly HashSet<ulong> _subscriptions = [];
    private long _heard = time.GetTimestamp();
    private long _pulse = time.GetTimestamp();
    private long _slot = -1;
    private long _connected;
    private bool _isSubscribed;

    /// <summary>How long nothing of any kind was heard.</summary>
    public TimeSpan Silence => time.GetElapsedTime(Interlocked.Read(ref _heard));

    /// <summary>How long no slot was heard of.</summary>
    public TimeSpan PulseSilence => time.GetElapsedTime(Interlocked.Read(ref _pulse));

    /// <summary>How long the node has owed the confirmation of a subscription.</summary>
    public TimeSpan UnconfirmedFor => IsSubscribed || Interlocked.Read(ref _connected) is 0 ? TimeSpan.Zero : time.GetElapsedTime(Interlocked.Read(ref _connected));

    public bool IsSubscribed => Volatile.Read(ref _isSubscribed);

    /// <summary>The newest slot that the node began with; -1 if none.</summary>
    public long Slot => Interlocked.Read(ref _slot);

    /// <summary>Connects, subscribes and reads. Ends only with an exception.</summary>
    /// <exception cref="RpcException">It ended, for the reason it says.</exception>
    public async Task Run(CancellationToken cancellationToken)
    {
        using var socket = new ClientWebSocket();

        // Its own pings, so that a middlebox does not take the quiet for the end; no answer in that time ends the connection.
        socket.Options.KeepAliveInterval = TimeSpan.FromSeconds(15);
        socket.Options.KeepAliveTimeout = TimeSpan.FromSeconds(30);
        try
        {
            using (var timeout = new CancellationTokenSource(options.RequestTimeout, time))
            using (var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken))
            {
                try
                {
                    await socket.ConnectAsync(node.Endpoint.WebSocket, either.Token);
                }
                catch (OperationCanceledException e) when (timeout.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
                {
                    throw new RpcException(RpcOrigin.Timeout, 0, $"no connection within {options.RequestTimeout.TotalSeconds:0.#} s", inner: e);
                }
            }

            Heard();
            Interlocked.Exchange(ref _connected, time.GetTimestamp());
            await Subscribe(socket, cancellationToken);
            await Read(socket, cancellationToken);
        }
        catch (Exception e) when (e is WebSocketException or HttpRequestException or SocketException or IOException)
        {
            throw new RpcException(RpcOrigin.Transport, 0, e.Message, inner: e);
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            // The connection's own end, as when a ping is not answered.
            throw new RpcException(RpcOrigin.Transport, 0, "the connection was given up", inner: e);
        }
    }

    private async Task Subscribe(ClientWebSocket socket, CancellationToken cancellationToken)
    {
        ulong id = 1;
        var requests = new List<string> { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"slotSubscribe\",\"params\":[]}" };
        _asked.Add(id);
        foreach (var program in options.Programs.Programs)
        {
            _asked.Add(++id);
            requests.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"logsSubscribe\",\"params\":[{{\"mentions\":[\"{program.Id}\"]}},{{\"commitment\":\"{options.CommitmentName}\"}}]}}"));
        }

        foreach (var request in requests)
        {
            await socket.SendAsync(Encoding.ASCII.GetBytes(request), WebSocketMessageType.Text, WebSocketMessageFlags.EndOfMessage, cancellationToken);
        }
    }

    /// <summary>Reads frames until the connection ends; also of a socket that a test or a benchmark brings.</summary>
    internal async Task Read(WebSocket socket, CancellationToken cancellationToken)
    {
        // Its own, not a pool's: every thread that ever ran this would keep the room of the longest frames.
        var first = new byte[FirstBuffer];
        var buffer = first;
        var length = 0;
        var isTooLarge = false;
        while (true)
        {
            var result = await socket.ReceiveAsync(buffer.AsMemory(isTooLarge ? 0 : length), cancellationToken);
            if (result.MessageType == WebSocketMessageType.Close)
            {
                throw new RpcException(RpcOrigin.Transport, 0, $"the node closed the connection: {socket.CloseStatus} {socket.CloseStatusDescription}".TrimEnd());
            }

            Heard();
            if (isTooLarge)
            {
                isTooLarge = !result.EndOfMessage;
                continue;
            }

            length += result.Count;
            if (length > options.MaxFrameBytes)
            {
                skipped.Add(SkipReason.FrameTooLarge);
                figures.Warn("frameTooLarge", $"{node.Endpoint.Name}: a frame of more than {options.MaxFrameBytes} bytes was refused");
                isTooLarge = !result.EndOfMessage;
                buffer = first;
                length = 0;
                continue;
            }

            if (!result.EndOfMessage)
            {
                if (length == buffer.Length)
                {
                    Array.Resize(ref buffer, (int)Math.Min(buffer.Length * 2L, options.MaxFrameBytes + 1L));
                }

                continue;
            }

            Take(buffer.AsSpan(0, length));
            buffer = first;
            length = 0;
        }
    }

    private void Take(ReadOnlySpan<byte> frame)
    {
        if (frame[..Math.Min(frame.Length, Head)].IndexOf("\"logsNotification\""u8) >= 0)
        {
            Queue(frame);
            return;
        }

        var message = RpcMessage.Read(frame);
        switch (message.Kind)
        {
            case RpcMessageKind.LogsNotification:
                Queue(frame);
                break;
            case RpcMessageKind.SlotNotification:
                Interlocked.Exchange(ref _pulse, time.GetTimestamp());
                Interlocked.Exchange(ref _slot, message.Slot);
                node.Heard(message.Slot);

                // A slot that finds no room is made good by the next.
                queue.TryAddSlot(message.Slot, message.Root);
                break;
            case RpcMessageKind.Response:
                Confirm(message);
                break;
            case RpcMessageKind.Malformed:
                skipped.Add(SkipReason.MalformedFrame);
                figures.Warn("malformedFrame", $"{node.Endpoint.Name}: a frame of {frame.Length} bytes is not JSON-RPC");
                break;
            default:
                skipped.Add(SkipReason.NotALog);
                break;
        }
    }

    private void Queue(ReadOnlySpan<byte> frame)
    {
        if (!queue.TryAdd(frame))
        {
            figures.Add(LiveFigures.Overflowed);
            figures.Warn("overflow", "frames come faster than they are taken; what was dropped is fetched again");
            onOverflow();
        }
    }

    private void Confirm(in RpcMessage message)
    {
        if (message.Error is { } error)
        {
            throw new RpcException(RpcOrigin.Node, message.ErrorCode, $"a subscription was refused: {message.ErrorCode}: {error}");
        }

        if (message.Id is not { } id || message.Subscription is not { } subscription || !_asked.Remove(id))
        {
            skipped.Add(SkipReason.NotALog);
            return;
        }

        _subscriptions.Add(subscription);
        if (_asked.Count == 0)
        {
            // In this order: whoever sees it subscribed must see that something is to be healed.
            onSubscribed();
            Volatile.Write(ref _isSubscribed, true);
        }
    }

    private void Heard() => Interlocked.Exchange(ref _heard, time.GetTimestamp());
}

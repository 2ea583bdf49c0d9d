using System.Collections.Concurrent;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Threading.Channels;

namespace KlineOrleans.Testing.Solana;

/// <summary>One WebSocket connection to a <see cref="FakeSolanaNode"/>.</summary>
internal sealed class FakeConnection(WebSocket socket, Action abort)
{
    private readonly Channel<(ReadOnlyMemory<byte> Text, int Fragments)> _outbox = Channel.CreateBounded<(ReadOnlyMemory<byte>, int)>(20_000);
    private readonly ConcurrentQueue<string> _confirmations = new();

    /// <summary>By their ids; the program is null for all logs, and for what has none.</summary>
    public ConcurrentDictionary<ulong, (string Kind, string? Program)> Subscriptions { get; } = new();

    /// <summary>Messages that stand in line.</summary>
    public int Unsent => _outbox.Reader.Count;

    public int LogSubscriptions => Subscriptions.Values.Count(s => s.Kind == "logs");

    public async Task Run(Func<FakeConnection, string, Task> onMessage)
    {
        var writing = Write();
        var buffer = new byte[64 * 1024];
        try
        {
            while (true)
            {
                var length = 0;
                ValueWebSocketReceiveResult part;
                do
                {
                    part = await socket.ReceiveAsync(buffer.AsMemory(length), CancellationToken.None);
                    length += part.Count;
                }
                while (!part.EndOfMessage && length < buffer.Length);

                if (part.MessageType == WebSocketMessageType.Close)
                {
                    break;
                }

                await onMessage(this, Encoding.UTF8.GetString(buffer, 0, length));
            }
        }
        catch (Exception e) when (e is WebSocketException or IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The other side has gone, or we have.
        }

        _outbox.Writer.TryComplete();
        await writing;
    }

    /// <summary>Puts a message in line, in so many frames; nothing happens once the connection has ended.</summary>
    public async ValueTask Send(ReadOnlyMemory<byte> text, int fragments)
    {
        try
        {
            await _outbox.Writer.WriteAsync((text, fragments));
        }
        catch (ChannelClosedException)
        {
            // It has ended.
        }
    }

    public async ValueTask Confirm(JsonObject answer, bool isLate)
    {
        _confirmations.Enqueue(answer.ToJsonString());
        if (!isLate)
        {
            await FlushConfirmations();
        }
    }

    public async ValueTask FlushConfirmations()
    {
        while (_confirmations.TryDequeue(out var answer))
        {
            await Send(Encoding.UTF8.GetBytes(answer), 1);
        }
    }

    public void Drop(bool isClean)
    {
        if (isClean)
        {
            // What stands in line is sent, then the close frame.
            _outbox.Writer.TryComplete();
        }
        else
        {
            Subscriptions.Clear();
            _outbox.Writer.TryComplete();
            try
            {
                abort();
            }
            catch (ObjectDisposedException)
            {
                // It has just ended by itself.
            }
        }
    }

    private async Task Write()
    {
        try
        {
            await foreach (var (text, fragments) in _outbox.Reader.ReadAllAsync())
            {
                var size = Math.Max(1, text.Length / fragments);
                for (var at = 0; at < text.Length; at += size)
                {
                    var isLast = at + size >= text.Length;
                    await socket.SendAsync(text.Slice(at, Math.Min(size, text.Length - at)), WebSocketMessageType.Text, isLast, CancellationToken.None);
                }
            }

            if (socket.State is WebSocketState.Open or WebSocketState.CloseReceived)
            {
                await socket.CloseOutputAsync(WebSocketCloseStatus.EndpointUnavailable, "going away", CancellationToken.None);
            }
        }
        catch (Exception e) when (e is WebSocketException or IOException or OperationCanceledException or ObjectDisposedException)
        {
            _outbox.Writer.TryComplete();
        }
    }
}

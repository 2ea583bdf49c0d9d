using System.Buffers;
using Microsoft.AspNetCore.SignalR;
using Microsoft.AspNetCore.SignalR.Protocol;

namespace KlineOrleans.Web;

/// <summary>A hub connection as a session's wire: frames go straight to the socket while nothing of SignalR's own is on its way, and through SignalR's pipe otherwise.</summary>
/// <remarks>A write through the pipe waits until the pipe takes it, so nothing piles up behind it.</remarks>
internal sealed class SignalRWire(HubConnectionContext connection, TimeProvider time) : ISessionWire, IBatchWire
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly HubSocket? _socket = connection.Features.Get<HubSocket>();

    public bool TryWrite(RoomBatch batch, Follower follower, out ValueTask written)
    {
        if (HasSocket && _socket!.TrySend(batch.FramesFor(follower), out written))
        {
            return true;
        }

        if (batch.Count == 1)
        {
            written = connection.WriteAsync(((HubPayload)batch[0]).Message, connection.ConnectionAborted);
            return true;
        }

        if (batch.Shared is not SerializedHubMessage joined)
        {
            // As one: SignalR wakes a connection's task for each write, and its messages say themselves where they end.
            var bytes = new ArrayBufferWriter<byte>(batch.Bytes + (HubPayload.LongestRest * batch.Count));
            for (var i = 0; i < batch.Count; i++)
            {
                bytes.Write(((HubPayload)batch[i]).Whole.Span);
            }

            batch.Shared = joined = HubPayload.Ready(bytes.WrittenMemory);
        }

        written = connection.WriteAsync(joined, connection.ConnectionAborted);
        return true;
    }

    public int ReadAhead() => _socket?.ReadAhead() ?? 0;

    public ValueTask Write(ReadOnlyMemory<Outgoing> messages)
    {
        if (HasSocket)
        {
            var frames = WebSocketFrame.Join(messages.Span, out var length, out _);
            try
            {
                if (length == 0)
                {
                    return ValueTask.CompletedTask;
                }

                if (_socket!.TrySend(frames.AsSpan(0, length), out var sent))
                {
                    return sent;
                }
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(frames);
            }
        }

        return WriteThrough(messages);
    }

    public void Close(DisconnectReason reason, Task written) => _ = CloseAsync(reason, written);

    /// <summary>Behind its own last message SignalR takes nothing more.</summary>
    private bool HasSocket => _socket is not null && !connection.ConnectionAborted.IsCancellationRequested;

    private ValueTask WriteThrough(ReadOnlyMemory<Outgoing> messages)
    {
        var span = messages.Span;
        for (var i = 0; i < span.Length; i++)
        {
            if (span[i].IsOver)
            {
                continue;
            }

            var write = connection.WriteAsync(((HubPayload)span[i].Payload).Message, connection.ConnectionAborted);
            if (!write.IsCompletedSuccessfully)
            {
                return Finish(write, messages[(i + 1)..]);
            }

            write.GetAwaiter().GetResult();
        }

        return ValueTask.CompletedTask;
    }

    private async ValueTask Finish(ValueTask first, ReadOnlyMemory<Outgoing> rest)
    {
        await first;
        for (var i = 0; i < rest.Length; i++)
        {
            var message = rest.Span[i];
            if (!message.IsOver)
            {
                await connection.WriteAsync(((HubPayload)message.Payload).Message, connection.ConnectionAborted);
            }
        }
    }

    private async Task CloseAsync(DisconnectReason reason, Task written)
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        var sentence = reason switch
        {
            DisconnectReason.SlowConsumer => $"{(int)ApiErrorCode.Busy}: SlowConsumer: too much waited for this client. Come back and resume.",
            DisconnectReason.RateLimit => $"{(int)ApiErrorCode.RateLimit}: RateLimit: too many requests. Come back later.",
            DisconnectReason.Busy => $"{(int)ApiErrorCode.Busy}: Busy: the server holds as many clients as it may. Come back later.",
            DisconnectReason.Expired => $"{(int)ApiErrorCode.NotAuthorised}: Expired: the token has expired. Come back with a new one.",
            DisconnectReason.ServerShutdown => $"{(int)ApiErrorCode.Busy}: ServerShutdown: the server stops. Come back and resume.",
            _ => null,
        };
        try
        {
            if (sentence is not null)
            {
                // A client that still reads is told why; one that does not is not waited for.
                using var patience = new CancellationTokenSource(Patience, time);
                await written.WaitAsync(patience.Token);
                await connection.WriteAsync(new CloseMessage(sentence, allowReconnect: true), patience.Token).AsTask().WaitAsync(patience.Token);
            }
        }
        catch (Exception)
        {
            // It is closed either way.
        }
        finally
        {
            connection.Abort();
        }
    }
}

/// <summary>A streaming call as a session's wire: the caller takes one item after the other, and the next batch follows when it took the last.</summary>
/// <param name="onSlow">Called when too much waited. Must not block.</param>
internal sealed class StreamWire(Action onSlow) : ISessionWire
{
    private readonly System.Threading.Channels.Channel<HubJson> _items = System.Threading.Channels.Channel.CreateUnbounded<HubJson>();
    private TaskCompletionSource? _taken;

    public ValueTask Write(ReadOnlyMemory<Outgoing> messages)
    {
        var taken = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref _taken, taken);
        foreach (var message in messages.Span)
        {
            if (!message.IsOver)
            {
                _items.Writer.TryWrite(new HubJson(message.Payload.Bytes));
            }
        }

        return new ValueTask(taken.Task);
    }

    public void Close(DisconnectReason reason, Task written)
    {
        var isSlow = reason == DisconnectReason.SlowConsumer;
        _items.Writer.TryComplete(isSlow ? new HubException($"{(int)ApiErrorCode.Busy}: SlowConsumer: too much waited for this client. Come back and resume.") : null);
        if (isSlow)
        {
            onSlow();
        }
    }

    /// <summary>The next item; null when the session has ended.</summary>
    public async ValueTask<HubJson?> Next(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (_items.Reader.TryRead(out var item))
            {
                return item;
            }

            Volatile.Read(ref _taken)?.TrySetResult();
            if (!await _items.Reader.WaitToReadAsync(cancellationToken))
            {
                return null;
            }
        }
    }
}

using System.IO.Pipelines;
using System.Net;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;

namespace KlineOrleans.Web.Transports.Direct;

/// <summary>A connection of <see cref="DirectTransport"/>, which a WebSocket can take from the server that accepted it. Thread safe.</summary>
/// <remarks>
/// A request that was upgraded keeps all that HTTP needed for it as long as it lasts: the request's context, its headers, its pipeline's pending calls, some ten kilobytes.
/// A WebSocket needs none of it. So the request ends as soon as the handshake is answered; the server lets go of the connection as of a closed one, and what took it
/// (<see cref="TakeOver"/>) goes on with the socket and its input alone.
/// </remarks>
internal sealed class DirectConnection : ConnectionContext
{
    private readonly ConnectionContext _inner;
    private readonly DirectTransport _owner;
    private readonly IDuplexPipe _transport;
    private readonly Reader _reader;
    private Func<Task>? _run;

    /// <param name="reads">Where what the client sends waits for its turn.</param>
    public DirectConnection(ConnectionContext inner, DirectSocket socket, ReadQueue reads, DirectTransport owner)
    {
        _inner = inner;
        _owner = owner;
        _transport = inner.Transport;
        Socket = socket;
        _reader = new Reader(this, _transport.Input, reads);
        Transport = inner.Transport = new Duplex(_reader, new DirectPipeWriter(socket, this));
        inner.Features.Set(this);
    }

    public DirectSocket Socket { get; }

    /// <summary>What the client sends. For whoever took the connection.</summary>
    public PipeReader Input => _reader;

    public bool IsTaken => Volatile.Read(ref _run) is not null;

    public override string ConnectionId
    {
        get => _inner.ConnectionId;
        set => _inner.ConnectionId = value;
    }

    public override IFeatureCollection Features => _inner.Features;

    public override IDictionary<object, object?> Items
    {
        get => _inner.Items;
        set => _inner.Items = value;
    }

    public override IDuplexPipe Transport { get; set; }

    public override CancellationToken ConnectionClosed
    {
        get => _inner.ConnectionClosed;
        set => _inner.ConnectionClosed = value;
    }

    public override EndPoint? LocalEndPoint
    {
        get => _inner.LocalEndPoint;
        set => _inner.LocalEndPoint = value;
    }

    public override EndPoint? RemoteEndPoint
    {
        get => _inner.RemoteEndPoint;
        set => _inner.RemoteEndPoint = value;
    }

    /// <summary>Takes the connection: once the server has let go of it, <paramref name="run"/> is called, and when that ends the connection is closed.</summary>
    /// <remarks>To be called by the request that was upgraded, which then ends. Nothing of the request may be used in <paramref name="run"/>.</remarks>
    public void TakeOver(Func<Task> run)
    {
        // Known as taken before its request ends: a stop that waits for both sees it all the time.
        _owner.SetTaken(this, isOpen: true);
        Volatile.Write(ref _run, run);
    }

    public override void Abort() => _inner.Abort();

    public override void Abort(ConnectionAbortedException abortReason) => _inner.Abort(abortReason);

    /// <summary>The server is done with it.</summary>
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        if (_run is not { } run)
        {
            await _inner.DisposeAsync();
            return;
        }

        // Through these the connection would hold all that the server had for it.
        var features = _inner.Features;
        foreach (var feature in features.Select(static f => f.Key).ToList())
        {
            features[feature] = null;
        }

        _inner.Items = null!;
        Transport = _inner.Transport = _transport;
        ThreadPool.UnsafeQueueUserWorkItem(static c => _ = c.Connection.Run(c.Run), (Connection: this, Run: run), preferLocal: false);
    }

    /// <summary>Lets the transport send what is written still, and close.</summary>
    internal void CompleteOutput(Exception? exception)
    {
        if (!IsTaken)
        {
            _transport.Output.Complete(exception);
        }
    }

    private async Task Run(Func<Task> run)
    {
        try
        {
            await run();
        }
        catch (Exception e)
        {
            _owner.LogFailure(e);
        }
        finally
        {
            try
            {
                await _transport.Input.CompleteAsync();
                await _transport.Output.CompleteAsync();
                await _inner.DisposeAsync();
            }
            finally
            {
                _owner.SetTaken(this, isOpen: false);
            }
        }
    }

    private sealed class Duplex(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input => input;

        public PipeWriter Output => output;
    }

    /// <summary>The input: reads that had to wait go on in their turn. The server's end of reading is not the connection's once that is taken.</summary>
    private sealed class Reader(DirectConnection owner, PipeReader inner, ReadQueue queue) : PipeReader, IValueTaskSource<ReadResult>, IThreadPoolWorkItem
    {
        private ManualResetValueTaskSourceCore<ReadResult> _core;
        private ValueTaskAwaiter<ReadResult> _read;
        private Action? _onRead;

        public override void AdvanceTo(SequencePosition consumed) => inner.AdvanceTo(consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => inner.AdvanceTo(consumed, examined);

        public override void CancelPendingRead() => inner.CancelPendingRead();

        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) => Wait(inner.ReadAsync(cancellationToken));

        public override bool TryRead(out ReadResult result) => inner.TryRead(out result);

        public override void Complete(Exception? exception = null)
        {
            if (!owner.IsTaken)
            {
                inner.Complete(exception);
            }
        }

        ReadResult IValueTaskSource<ReadResult>.GetResult(short token) => _core.GetResult(token);

        ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => _core.GetStatus(token);

        void IValueTaskSource<ReadResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) => _core.OnCompleted(continuation, state, token, flags);

        void IThreadPoolWorkItem.Execute()
        {
            var read = _read;
            _read = default;
            ReadResult result;
            try
            {
                result = read.GetResult();
            }
            catch (Exception e)
            {
                _core.SetException(e);
                return;
            }

            _core.SetResult(result);
        }

        protected override ValueTask<ReadResult> ReadAtLeastAsyncCore(int minimumSize, CancellationToken cancellationToken) => Wait(inner.ReadAtLeastAsync(minimumSize, cancellationToken));

        // One read at a time, as of every pipe.
        private ValueTask<ReadResult> Wait(ValueTask<ReadResult> read)
        {
            if (read.IsCompleted)
            {
                return read;
            }

            _core.Reset();
            _read = read.GetAwaiter();
            _read.UnsafeOnCompleted(_onRead ??= () => queue.Add(this));
            return new ValueTask<ReadResult>(this, _core.Version);
        }
    }
}

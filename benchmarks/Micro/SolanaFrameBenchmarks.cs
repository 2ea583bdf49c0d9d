using System.Buffers.Binary;
using System.Diagnostics;
using System.Net.WebSockets;
using BenchmarkDotNet.Attributes;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest;
using KlineOrleans.Ingest.Simulation;
using KlineOrleans.Ingest.Solana;
using KlineOrleans.Ingest.Solana.Live;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>Log frames from a socket to the trades of a chunk, on one core: WebSocket framing, queue, JSON, invoke stack, base64, layout, what was seen, place and time.</summary>
/// <remarks>Hot because a busy program fills it: everything a node sends goes this way, one frame after the other.</remarks>
[MemoryDiagnoser]
public class SolanaFrameBenchmarks
{
    private const int Frames = 20_000;
    private const long FirstSlot = 4_450_000_000;

    private byte[] _wire = [];

    /// <summary>How many frames there are.</summary>
    public int Count { get; init; } = Frames;
    private long _lastSlot;

    [GlobalSetup]
    public void Setup()
    {
        var chain = new SimulatedChain(seed: 7, mints: 200, tradesPerSecond: 10_000);
        using var wire = new MemoryStream();
        var frames = 0;
        for (_lastSlot = FirstSlot; frames < Count; _lastSlot++)
        {
            chain.Run(_lastSlot, (frame, _) =>
            {
                if (frames >= Count)
                {
                    return;
                }

                frames++;

                // As a server writes it: final text frame, 16-bit length, no mask.
                Span<byte> head = [0x81, 126, 0, 0];
                BinaryPrimitives.WriteUInt16BigEndian(head[2..], (ushort)frame.Length);
                wire.Write(head);
                wire.Write(frame);
            });
        }

        _wire = wire.ToArray();
    }

    /// <summary>The figure is for one frame.</summary>
    [Benchmark(OperationsPerInvoke = Frames)]
    public int Frames_from_socket_to_trades() => Chunks().Sum(c => c.Trades.Length);

    /// <summary>The chunks that a live source gives for the frames.</summary>
    internal IEnumerable<SourceChunk> Chunks()
    {
        var options = new SolanaOptions { MaxQueuedFrames = Count + 1 };
        var figures = new LiveFigures("benchmark", TimeProvider.System, NullLogger.Instance);
        var skipped = new SkipCounts();
        using var reader = new LiveReader("benchmark", options, TimeProvider.System, skipped, figures);
        for (var slot = FirstSlot; slot <= _lastSlot; slot++)
        {
            reader.Learn(slot, SimulatedChain.BlockSeconds(slot));
        }

        var queue = new FrameQueue(Count + 1, static () => { });
        var node = new NodeHealth(options.Endpoints[0], TimeProvider.System);
        var socket = new NodeSocket(node, options, TimeProvider.System, queue, skipped, figures, static () => { }, static () => throw new InvalidOperationException("a frame was dropped"));
        using var stream = new MemoryStream(_wire, writable: false);
        using var connection = WebSocket.CreateFromStream(new ReadOnly(stream), new WebSocketCreationOptions { IsServer = false });
        try
        {
            socket.Read(connection, CancellationToken.None).GetAwaiter().GetResult();
        }
        catch (Exception e) when (e is WebSocketException or RpcException)
        {
            // The end of the wire.
        }

        var taken = 0;
        while (queue.TryTake(out var frame))
        {
            reader.TakeLogs(frame.Frame);
            frame.Return();
            if (++taken % 2_048 == 0 && reader.TakeChunk(hasMore: false) is { } chunk)
            {
                yield return chunk;
            }
        }

        if (reader.TakeChunk(hasMore: false) is { } last)
        {
            yield return last;
        }
    }

    /// <summary>The same without the harness, for a figure in seconds.</summary>
    public static async Task Quick(TextWriter output)
    {
        var benchmark = new SolanaFrameBenchmarks();
        benchmark.Setup();
        var trades = 0;
        for (var i = 0; i < 5; i++)
        {
            trades = benchmark.Frames_from_socket_to_trades();
        }

        // The thread's own processor time: what else runs on the machine does not count.
        using var process = Process.GetCurrentProcess();
        var (cpu, allocated, clock) = (process.TotalProcessorTime, GC.GetTotalAllocatedBytes(precise: true), Stopwatch.StartNew());
        const int Rounds = 20;
        for (var i = 0; i < Rounds; i++)
        {
            benchmark.Frames_from_socket_to_trades();
        }

        process.Refresh();
        var seconds = (process.TotalProcessorTime - cpu).TotalSeconds;
        await output.WriteLineAsync(
            $"{Rounds * Frames / seconds:N0} frames/s of processor time ({Rounds * Frames / clock.Elapsed.TotalSeconds:N0} frames/s on the wall), {(GC.GetTotalAllocatedBytes(precise: true) - allocated) / (Rounds * Frames)} bytes allocated a frame, {benchmark._wire.Length / Frames} bytes a frame on the wire, {trades} trades of {Frames} frames");
    }

    // A stream that takes what a client writes, as a close frame, and forgets it.
    private sealed class ReadOnly(MemoryStream inner) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, count);

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => new(inner.Read(buffer.Span));

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count)
        {
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => default;
    }
}

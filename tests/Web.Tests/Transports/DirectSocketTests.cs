using System.Buffers;
using System.Net;
using System.Net.Sockets;
using KlineOrleans.Web.Transports.Direct;

namespace KlineOrleans.Web.Tests.Transports;

public sealed class DirectSocketTests : IDisposable
{
    private static readonly TimeSpan Safety = TimeSpan.FromSeconds(30);
    private readonly Socket _client;
    private readonly Socket _server;
    private readonly DirectSocket _direct;

    public DirectSocketTests()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        _client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4_096 };
        _client.Connect(listener.LocalEndPoint!);
        _server = listener.Accept();
        _server.SendBufferSize = 4_096;
        _direct = new DirectSocket(_server);
    }

    public void Dispose()
    {
        _client.Dispose();
        _server.Dispose();
    }

    [Fact]
    public async Task What_the_socket_has_no_room_for_follows_when_it_has()
    {
        var bytes = new byte[3_000_000];
        Random.Shared.NextBytes(bytes);
        var copy = bytes.ToArray();
        var send = _direct.Send(bytes);
        Assert.False(send.IsCompleted);

        // The caller's memory is its own again at once.
        Array.Clear(bytes);
        var received = await Receive(copy.Length);
        await send.AsTask().WaitAsync(Safety);
        Assert.Equal(copy, received);
    }

    [Fact]
    public async Task Sends_at_once_leave_whole_and_one_senders_in_order()
    {
        const int Senders = 4;
        const int Each = 400;
        var receiving = Receive(Senders * Each * 1_003);
        await Task.WhenAll(Enumerable.Range(0, Senders).Select(sender => Task.Run(async () =>
        {
            var block = new byte[1_003];
            for (var i = 0; i < Each; i++)
            {
                Array.Fill(block, (byte)sender);
                block[1] = (byte)(i >> 8);
                block[2] = (byte)i;
                await _direct.Send(block);
            }
        }))).WaitAsync(Safety);
        var received = await receiving;
        var next = new int[Senders];
        for (var at = 0; at < received.Length; at += 1_003)
        {
            var sender = received[at];
            Assert.Equal(next[sender]++, (received[at + 1] << 8) | received[at + 2]);
            Assert.Equal(-1, received.AsSpan(at + 3, 1_000).IndexOfAnyExcept(sender));
        }

        Assert.All(next, n => Assert.Equal(Each, n));
    }

    [Fact]
    public async Task Broken_connection_fails_the_send_and_frees_whoever_waits()
    {
        var first = _direct.Send(new byte[3_000_000]).AsTask();
        var second = _direct.Send(new byte[10]).AsTask();
        Assert.False(second.IsCompleted);
        _client.LingerState = new LingerOption(true, 0);
        _client.Dispose();
        await Assert.ThrowsAnyAsync<SocketException>(() => first.WaitAsync(Safety));
        await Assert.ThrowsAnyAsync<SocketException>(() => second.WaitAsync(Safety));
        Assert.ThrowsAny<SocketException>(() => _direct.Send(new byte[10]).AsTask().GetAwaiter().GetResult());
    }

    [Fact]
    public async Task Pipe_writer_sends_what_is_flushed_until_it_is_complete()
    {
        var writer = new DirectPipeWriter(_direct, owner: null);
        writer.Write("one "u8);
        writer.Write("two "u8);
        Assert.Equal(8, writer.UnflushedBytes);
        Assert.Equal(default, await writer.FlushAsync(TestContext.Current.CancellationToken));
        await writer.WriteAsync("three"u8.ToArray(), TestContext.Current.CancellationToken);
        Assert.Equal("one two three"u8.ToArray(), await Receive(13));
        await writer.CompleteAsync();
        Assert.True((await writer.FlushAsync(TestContext.Current.CancellationToken)).IsCompleted);
    }

    [Fact]
    public async Task Pipe_writers_flush_can_be_called_off_and_what_it_sends_goes_on()
    {
        var writer = new DirectPipeWriter(_direct, owner: null);
        var bytes = new byte[3_000_000];
        Random.Shared.NextBytes(bytes);
        writer.Write(bytes);
        var flush = writer.FlushAsync(TestContext.Current.CancellationToken).AsTask();
        Assert.False(flush.IsCompleted);
        writer.CancelPendingFlush();
        Assert.True((await flush.WaitAsync(Safety)).IsCanceled);
        var next = writer.WriteAsync("end"u8.ToArray(), TestContext.Current.CancellationToken).AsTask();
        var received = await Receive(bytes.Length + 3);
        Assert.Equal([.. bytes, .. "end"u8], received);
        Assert.False((await next.WaitAsync(Safety)).IsCanceled);
    }

    [Fact]
    public async Task Pipe_writer_of_a_broken_connection_says_that_its_reader_has_gone()
    {
        var writer = new DirectPipeWriter(_direct, owner: null);
        writer.Write(new byte[3_000_000]);
        var flush = writer.FlushAsync(TestContext.Current.CancellationToken).AsTask();
        _client.LingerState = new LingerOption(true, 0);
        _client.Dispose();
        Assert.True((await flush.WaitAsync(Safety)).IsCompleted);
        Assert.True((await writer.WriteAsync(new byte[10], TestContext.Current.CancellationToken)).IsCompleted);
    }

    private async Task<byte[]> Receive(int length)
    {
        var received = new byte[length];
        using var patience = new CancellationTokenSource(Safety);
        for (var at = 0; at < length;)
        {
            var read = await _client.ReceiveAsync(received.AsMemory(at), patience.Token);
            Assert.NotEqual(0, read);
            at += read;
        }

        return received;
    }
}

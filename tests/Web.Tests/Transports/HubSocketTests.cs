using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Web.Transports.Direct;

namespace KlineOrleans.Web.Tests.Transports;

/// <summary>Frames of rooms between the messages of SignalR: an answer comes before what it sets off, and no message is cut in two.</summary>
public sealed class HubSocketTests
{
    private static readonly TimeSpan Safety = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Frames_wait_for_messages_that_were_begun_before()
    {
        await using var pair = await Pair.Open();
        Assert.True(pair.Hub.TrySend(Frame("first"), out var sent));
        await sent;

        // Being made, in the pipe, on its way in two fragments.
        pair.Output.GetMemory(16);
        Assert.False(pair.Hub.TrySend(Frame("no"), out _));
        pair.Output.Write("answer"u8);
        Assert.False(pair.Hub.TrySend(Frame("no"), out _));
        await pair.Output.FlushAsync(TestContext.Current.CancellationToken);
        Assert.False(pair.Hub.TrySend(Frame("no"), out _));
        await pair.Gate.SendAsync("ans"u8.ToArray().AsMemory(), WebSocketMessageType.Text, endOfMessage: false, TestContext.Current.CancellationToken);
        Assert.False(pair.Hub.TrySend(Frame("no"), out _));
        await pair.Gate.SendAsync("wer"u8.ToArray().AsMemory(), WebSocketMessageType.Text, endOfMessage: true, TestContext.Current.CancellationToken);
        Assert.True(pair.Hub.TrySend(Frame("second"), out sent));
        await sent;

        // Behind a close nothing is sent.
        await pair.Gate.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, TestContext.Current.CancellationToken);
        Assert.False(pair.Hub.TrySend(Frame("no"), out _));
        Assert.Equal(["first", "answer", "second"], await pair.Texts(3).WaitAsync(Safety, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Frames_wait_for_the_end_of_a_message_whose_bytes_are_all_counted()
    {
        await using var pair = await Pair.Open();
        await pair.Gate.SendAsync(ReadOnlyMemory<byte>.Empty, WebSocketMessageType.Text, endOfMessage: false, TestContext.Current.CancellationToken);
        Assert.False(pair.Hub.TrySend(Frame("no"), out _));
        await pair.Gate.SendAsync(ReadOnlyMemory<byte>.Empty, WebSocketMessageType.Text, endOfMessage: true, TestContext.Current.CancellationToken);
        Assert.True(pair.Hub.TrySend(Frame("yes"), out var sent));
        await sent;
        Assert.Equal(["", "yes"], await pair.Texts(2).WaitAsync(Safety, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Nothing_is_sent_once_the_framework_has_closed_by_itself()
    {
        await using var pair = await Pair.Open();

        // A frame of an opcode that there is not.
        await pair.ClientSends([0x83, 0x80, 0, 0, 0, 0]);
        await Assert.ThrowsAsync<WebSocketException>(() => pair.Gate.ReceiveAsync(new byte[16].AsMemory(), TestContext.Current.CancellationToken).AsTask());
        Assert.False(pair.Hub.TrySend(Frame("no"), out _));
    }

    /// <summary>In the whole server: what a lane has for a connection leaves as messages of its own, where SignalR would join them.</summary>
    [Fact]
    public async Task Rooms_of_the_hub_send_directly()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(WebHost.Mint);
        using var client = new ClientWebSocket();
        await client.ConnectAsync(new UriBuilder(host.Address) { Scheme = "ws", Path = "/hubs/kline" }.Uri, TestContext.Current.CancellationToken);
        await client.SendAsync(Encoding.UTF8.GetBytes("{\"protocol\":\"json\",\"version\":1}\u001e"), WebSocketMessageType.Text, true, TestContext.Current.CancellationToken);
        await client.SendAsync(
            Encoding.UTF8.GetBytes($$"""{"type":1,"invocationId":"1","target":"Subscribe","arguments":[{"symbol":"{{WebHost.Mint}}","intervals":["s1"]}]}""" + "\u001e"), WebSocketMessageType.Text, true, TestContext.Current.CancellationToken);
        var buffer = new byte[65_536];
        async Task<string[]> Next()
        {
            var result = await client.ReceiveAsync(buffer.AsMemory(), TestContext.Current.CancellationToken).AsTask().WaitAsync(Safety);
            Assert.True(result.EndOfMessage);
            return Encoding.UTF8.GetString(buffer, 0, result.Count).Split('\u001e', StringSplitOptions.RemoveEmptyEntries);
        }

        while (!(await Next()).Any(static r => r.Contains("\"target\":\"status\"", StringComparison.Ordinal)))
        {
        }

        // Final klines, which no later one replaces: two of one burst are two records. The lane may come between them; it does not always.
        const int Pairs = 300;
        for (var i = 0; i < Pairs; i++)
        {
            var at = TestKlines.Start.AddSeconds(i * 2);
            host.Cluster.Deliver(mint.Change(at, TestKlines.Make(KlineInterval.S1, at, 1) with { IsFinal = true }));
            host.Cluster.Deliver(mint.Change(at.AddSeconds(1), TestKlines.Make(KlineInterval.S1, at.AddSeconds(1), 1) with { IsFinal = true }));
            for (var left = 2; left > 0;)
            {
                var records = await Next();
                Assert.Single(records);
                left -= records[0].Contains("\"target\":\"kline\"", StringComparison.Ordinal) ? 1 : 0;
            }
        }
    }

    [Fact]
    public async Task Message_that_fails_lets_nothing_overtake()
    {
        await using var pair = await Pair.Open();
        await pair.Output.WriteAsync("lost"u8.ToArray(), TestContext.Current.CancellationToken);
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pair.Gate.SendAsync("lost"u8.ToArray().AsMemory(), WebSocketMessageType.Text, endOfMessage: true, cancelled.Token).AsTask());
        Assert.False(pair.Hub.TrySend(Frame("no"), out _));
    }

    /// <summary>Three threads as in the server: who makes messages, who carries them, and a lane.</summary>
    [Fact]
    public async Task Order_of_cause_and_effect_holds_between_threads()
    {
        const int Messages = 5_000;
        await using var pair = await Pair.Open();
        var made = 0;
        var direct = 0;
        using var directSent = new SemaphoreSlim(0);
        var making = Task.Run(async () =>
        {
            for (var i = 1; i <= Messages; i++)
            {
                var text = Encoding.ASCII.GetBytes(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"m{i};"));
                text.CopyTo(pair.Output.GetSpan(text.Length));

                // What a subscription's answer sets off begins while it is being written.
                Volatile.Write(ref made, i);
                pair.Output.Advance(text.Length);
                await pair.Output.FlushAsync();
                if (i % 3 == 0)
                {
                    await Task.Yield();
                }

                if (i % 50 == 0)
                {
                    // However the threads are scheduled, frames get between messages.
                    while (await directSent.WaitAsync(TimeSpan.Zero))
                    {
                    }

                    await directSent.WaitAsync(Safety);
                }
            }

            await pair.Output.CompleteAsync();
        });
        var carrying = Task.Run(async () =>
        {
            var random = new Random(1);
            while (true)
            {
                var read = await pair.Pipe.Reader.ReadAsync();
                if (!read.Buffer.IsEmpty)
                {
                    var bytes = read.Buffer.ToArray();
                    var cut = random.Next(bytes.Length + 1);
                    if (cut > 0 && cut < bytes.Length)
                    {
                        await pair.Gate.SendAsync(bytes.AsMemory(0, cut), WebSocketMessageType.Text, endOfMessage: false, default);
                        await Task.Yield();
                    }

                    await pair.Gate.SendAsync(bytes.AsMemory(cut == bytes.Length ? 0 : cut), WebSocketMessageType.Text, endOfMessage: true, default);
                }

                pair.Pipe.Reader.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted)
                {
                    return;
                }
            }
        });
        var lane = Task.Run(async () =>
        {
            while (!carrying.IsCompleted)
            {
                var cause = Volatile.Read(ref made);
                if (pair.Hub.TrySend(Frame(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"d{cause};")), out var sent))
                {
                    direct++;
                    await sent;
                    directSent.Release();
                }
                else
                {
                    await Task.Yield();
                }
            }

            Assert.True(pair.Hub.TrySend(Frame("end;"), out var last));
            await last;
        });

        // A fragmented message with another in between makes the client's WebSocket fail.
        var reading = pair.TextsUntil("end;");
        await foreach (var ended in Task.WhenEach(making, carrying, lane, reading).WithCancellation(new CancellationTokenSource(Safety).Token))
        {
            await ended;
        }

        var texts = await reading;
        var seen = 0;
        var directSeen = 0;
        foreach (var token in string.Concat(texts).Split(';', StringSplitOptions.RemoveEmptyEntries).SkipLast(1))
        {
            var number = int.Parse(token[1..], System.Globalization.CultureInfo.InvariantCulture);
            if (token[0] == 'm')
            {
                Assert.Equal(++seen, number);
            }
            else
            {
                directSeen++;
                Assert.True(number <= seen, $"a frame that message {number} set off came after {seen} messages");
            }
        }

        Assert.Equal(Messages, seen);
        Assert.Equal(direct, directSeen);
        Assert.InRange(direct, Messages / 50, int.MaxValue);
    }

    private static byte[] Frame(string text)
    {
        var buffer = new byte[text.Length + WebSocketFrame.LongestHeader];
        return buffer[..WebSocketFrame.WriteText(buffer, Encoding.ASCII.GetBytes(text))];
    }

    /// <summary>A connection over loopback: the server's side as the hub has it, the client's a WebSocket of the framework.</summary>
    private sealed class Pair : IAsyncDisposable
    {
        private readonly Socket _server;
        private readonly WebSocket _serverSocket;
        private readonly WebSocket _client;
        private readonly Socket _raw;

        private Pair(Socket server, Socket client)
        {
            (_server, _raw) = (server, client);
            var direct = new DirectSocket(server);
            Hub = new HubSocket(direct);
            Output = Hub.Counted(Pipe.Writer);
            _serverSocket = WebSocket.CreateFromStream(new SendStream(direct, server), new WebSocketCreationOptions { IsServer = true });
            Gate = Hub.Gated(_serverSocket);
            _client = WebSocket.CreateFromStream(new NetworkStream(client, ownsSocket: true), new WebSocketCreationOptions { IsServer = false });
        }

        public HubSocket Hub { get; }

        public Pipe Pipe { get; } = new();

        public PipeWriter Output { get; }

        public WebSocket Gate { get; }

        public static async Task<Pair> Open()
        {
            using var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await client.ConnectAsync(listener.LocalEndpoint, TestContext.Current.CancellationToken);
            return new Pair(await listener.AcceptSocketAsync(TestContext.Current.CancellationToken), client);
        }

        public async Task ClientSends(byte[] bytes) => await _raw.SendAsync(bytes, SocketFlags.None);

        public async Task<List<string>> Texts(int count)
        {
            List<string> texts = [];
            while (texts.Count < count)
            {
                texts.Add(await Next());
            }

            return texts;
        }

        public async Task<List<string>> TextsUntil(string last)
        {
            List<string> texts = [];
            do
            {
                texts.Add(await Next());
            }
            while (texts[^1] != last);
            return texts;
        }

        public ValueTask DisposeAsync()
        {
            Gate.Dispose();
            _client.Dispose();
            _server.Dispose();
            return ValueTask.CompletedTask;
        }

        private async Task<string> Next()
        {
            var buffer = new byte[65_536];
            var length = 0;
            while (true)
            {
                var result = await _client.ReceiveAsync(buffer.AsMemory(length), TestContext.Current.CancellationToken);
                Assert.Equal(WebSocketMessageType.Text, result.MessageType);
                length += result.Count;
                if (result.EndOfMessage)
                {
                    return Encoding.ASCII.GetString(buffer, 0, length);
                }
            }
        }
    }

    /// <summary>Writes to the socket, as the framework's WebSocket does through the transport.</summary>
    private sealed class SendStream(DirectSocket socket, Socket reads) : Stream
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

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => reads.ReceiveAsync(buffer, SocketFlags.None, cancellationToken);

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return socket.Send(buffer.Span);
        }

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}

using System.Text.Json;
using System.Threading.Channels;
using KlineOrleans.Web.Transports.EngineIo;
using KlineOrleans.Web.Transports.SocketIo;

namespace KlineOrleans.Web.Tests.Transports.SocketIo;

#pragma warning disable IDE0065 // Outside of the namespace, the reason of the same name in KlineOrleans.Web would win.
#pragma warning restore IDE0065

public sealed class SocketIoServerTests
{
    private readonly Channel<(string Namespace, SocketIoDisconnectReason Reason)> _left = Channel.CreateUnbounded<(string, SocketIoDisconnectReason)>();
    private readonly Channel<SocketIoSocket> _joined = Channel.CreateUnbounded<SocketIoSocket>();
    private readonly Channel<string> _events = Channel.CreateUnbounded<string>();

    [Theory, Trait("Requirement", "S17 S18 S19 S20")]
    [InlineData("40", "40", "42[\"auth\",{}]")]
    [InlineData("40{\"token\":\"123\"}", "40", "42[\"auth\",{\"token\":\"123\"}]")]
    [InlineData("40/custom,", "40/custom,", "42/custom,[\"auth\",{}]")]
    [InlineData("40/custom", "40/custom,", "42/custom,[\"auth\",{}]")]
    [InlineData("40/custom,{\"token\":\"abc\"}", "40/custom,", "42/custom,[\"auth\",{\"token\":\"abc\"}]")]
    public async Task Client_joins_and_gets_its_id_before_anything_else(string connect, string prefix, string auth)
    {
        await using var host = await StartAsync();
        using var socket = await host.OpenWebSocketAsync();
        await socket.SendAsync(connect);
        var consent = await socket.ReadAsync();
        Assert.StartsWith(prefix + "{", consent, StringComparison.Ordinal);
        using var json = JsonDocument.Parse(consent.AsMemory(prefix.Length));
        Assert.Equal("sid", Assert.Single(json.RootElement.EnumerateObject()).Name);
        Assert.Equal(auth, await socket.ReadAsync());

        // The socket's id is public and must not be the session's.
        var joined = await _joined.Reader.ReadAsync();
        Assert.Equal(json.RootElement.GetProperty("sid").GetString(), joined.Id);
        Assert.NotEqual(joined.Session.Id, joined.Id);
    }

    [Theory, Trait("Requirement", "S21, namespaces with a query, refusal by middleware")]
    [InlineData("40/random", "44/random,{\"message\":\"Invalid namespace\"}")]
    [InlineData("40/random,{}", "44/random,{\"message\":\"Invalid namespace\"}")]
    [InlineData("40/custom?x=1,", "44/custom?x=1,{\"message\":\"Invalid namespace\"}")]
    [InlineData("40/refused,", "44/refused,{\"message\":\"No\",\"data\":{\"code\":7}}")]
    [InlineData("40/broken,", "44/broken,{\"message\":\"Internal error\"}")]
    public async Task Client_that_may_not_join_is_told_why_and_may_join_elsewhere(string connect, string refusal)
    {
        await using var host = await StartAsync();
        using var socket = await host.OpenWebSocketAsync();
        await socket.SendAsync(connect);
        Assert.Equal(refusal, await socket.ReadAsync());
        await socket.SendAsync("40");
        Assert.StartsWith("40{", await socket.ReadAsync(), StringComparison.Ordinal);
    }

    [Theory, Trait("Requirement", "S22 S30 S31 S32, payload checks, packets out of turn")]
    [InlineData("4abc")]
    [InlineData("4")]
    [InlineData("42")]
    [InlineData("42{}")]
    [InlineData("42[]")]
    [InlineData("42[null]")]
    [InlineData("42[\"disconnect\"]")]
    [InlineData("42abc[\"message-with-ack\"]")]
    [InlineData("43[]")]
    [InlineData("41{}")]
    [InlineData("40[]")]
    [InlineData("40")]
    [InlineData("44{\"message\":\"x\"}")]
    [InlineData("42/custom,[\"a\"]")]
    [InlineData("43/custom,1[]")]
    [InlineData("41/custom")]
    [InlineData("42/random,[\"a\"]")]
    [InlineData("450-[\"a\"]")]
    [InlineData("4511-[\"a\"]")]
    [InlineData("45-1-[\"a\"]")]
    [InlineData("451-[\"a\",{\"_placeholder\":true,\"num\":1}]")]
    [InlineData("451-[\"a\",{\"_placeholder\":true,\"num\":\"splice\"}]")]
    [InlineData("bAQID")]
    [InlineData("42[\"\\ud800\"]")]
    public async Task Packet_that_is_wrong_or_out_of_turn_closes_the_connection(string packet)
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        await socket.SendAsync(packet);
        Assert.Equal("closed 1002", await socket.ReadAsync());
        Assert.Equal(("/", SocketIoDisconnectReason.ParseError), await _left.Reader.ReadAsync());
        Assert.Equal(0, host.Engine.OpenSessions);
    }

    [Theory, Trait("Requirement", "S22, before CONNECT")]
    [InlineData("4abc")]
    [InlineData("42[\"message\"]")]
    [InlineData("41")]
    [InlineData("43" + "1[]")]
    public async Task First_packet_that_joins_nothing_closes_the_connection(string packet)
    {
        await using var host = await StartAsync();
        using var socket = await host.OpenWebSocketAsync();
        await socket.SendAsync(packet);
        Assert.Equal("closed 1002", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "S23, connect timeout")]
    public async Task Client_that_joins_nothing_is_closed_at_the_connect_timeout()
    {
        await using var host = await StartAsync(io =>
        {
            io.ConnectTimeout = TimeSpan.FromSeconds(45);
            io.Engine.PingInterval = TimeSpan.FromMinutes(5);
        });
        using var silent = await host.OpenWebSocketAsync();
        using var refused = await host.OpenWebSocketAsync();
        await refused.SendAsync("40/random");
        Assert.StartsWith("44", await refused.ReadAsync(), StringComparison.Ordinal);
        using var joined = await JoinAsync(host);
        host.Clock.Advance(TimeSpan.FromSeconds(45) - TimeSpan.FromTicks(1));
        Assert.Equal(3, host.Engine.OpenSessions);
        host.Clock.Advance(TimeSpan.FromTicks(1));
        Assert.Equal("closed 1000", await silent.ReadAsync());
        Assert.Equal("closed 1000", await refused.ReadAsync());
        await joined.SendAsync("42[\"message\"]");
        Assert.Equal("42[\"message-back\"]", await joined.ReadAsync());
    }

    [Fact, Trait("Requirement", "S24")]
    public async Task Client_that_leaves_gets_no_answer_and_its_connection_stays()
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        await socket.SendAsync("41");
        Assert.Equal(("/", SocketIoDisconnectReason.ClientNamespaceDisconnect), await _left.Reader.ReadAsync());
        host.Clock.Advance(TimeSpan.FromMilliseconds(300));
        Assert.Equal("2", await socket.ReadAsync());

        // And may come back.
        await socket.SendAsync("40");
        Assert.StartsWith("40{", await socket.ReadAsync(), StringComparison.Ordinal);
        Assert.Equal("42[\"auth\",{}]", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "event after 41")]
    public async Task Event_after_leaving_closes_the_connection()
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        await socket.SendAsync("41");
        await socket.SendAsync("42[\"message\"]");
        Assert.Equal("closed 1002", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "S25")]
    public async Task Leaving_one_namespace_leaves_the_other()
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        await socket.SendAsync("40/custom");
        Assert.StartsWith("40/custom,{", await socket.ReadAsync(), StringComparison.Ordinal);
        Assert.Equal("42/custom,[\"auth\",{}]", await socket.ReadAsync());
        await socket.SendAsync("41/custom");
        await socket.SendAsync("42[\"message\",\"message to main namespace\"]");
        Assert.Equal("42[\"message-back\",\"message to main namespace\"]", await socket.ReadAsync());
        Assert.Equal(("/custom", SocketIoDisconnectReason.ClientNamespaceDisconnect), await _left.Reader.ReadAsync());
    }

    [Fact, Trait("Requirement", "S26")]
    public async Task Event_comes_back_byte_for_byte()
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        foreach (var arguments in (string[])["1,\"2\",{\"3\":[true]}", "1.0,1e5,-0,0.1000", "\"\\u00e9é\",{\"b\":1,\"a\":2},[],null", ""])
        {
            var comma = arguments.Length > 0 ? "," : "";
            await socket.SendAsync($"42[\"message\"{comma}{arguments}]");
            Assert.Equal($"42[\"message-back\"{comma}{arguments}]", await socket.ReadAsync());
        }
    }

    [Fact, Trait("Requirement", "S27 S29")]
    public async Task Binary_event_and_acknowledgement_come_back_with_their_attachments_and_nothing_between()
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        const string two = "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}";
        await socket.SendAsync($"452-[\"message\",{two}]");
        await socket.SendAsync([1, 2, 3]);
        await socket.SendAsync("3");
        await socket.SendAsync([4, 5, 6]);
        Assert.Equal([$"452-[\"message-back\",{two}]", "[010203]", "[040506]"], [await socket.ReadAsync(), await socket.ReadAsync(), await socket.ReadAsync()]);

        await socket.SendAsync($"452-789[\"message-with-ack\",{two}]");
        await socket.SendAsync([1, 2, 3]);
        await socket.SendAsync([4, 5, 6]);
        Assert.Equal([$"462-789[{two}]", "[010203]", "[040506]"], [await socket.ReadAsync(), await socket.ReadAsync(), await socket.ReadAsync()]);
    }

    [Fact, Trait("Requirement", "attachments in several POSTs (.NET client)")]
    public async Task Attachments_may_come_in_posts_of_their_own()
    {
        await using var host = await StartAsync();
        var sid = await host.OpenAsync();
        await host.PostAsync(sid, "40");
        await ReadPollsAsync(host, sid, 2);
        const string two = "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}";
        await host.PostAsync(sid, $"452-[\"message\",{two}]");
        await host.PostAsync(sid, "bAQID");
        await host.PostAsync(sid, "bBAUG");
        Assert.Equal([$"452-[\"message-back\",{two}]", "bAQID", "bBAUG"], await ReadPollsAsync(host, sid, 3));
    }

    [Theory, Trait("Requirement", "attachments out of turn")]
    [InlineData("42[\"message\"]")]
    [InlineData("41")]
    [InlineData("451-[\"message\"]")]
    public async Task Text_while_attachments_are_missing_closes_the_connection(string packet)
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        await socket.SendAsync("452-[\"message\",{\"_placeholder\":true,\"num\":0}]");
        await socket.SendAsync([1]);
        await socket.SendAsync(packet);
        Assert.Equal("closed 1002", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "attachments above the bound")]
    public async Task Attachments_above_the_bound_close_the_connection()
    {
        await using var host = await StartAsync(io => io.MaxAttachmentBytes = 100);
        using var socket = await JoinAsync(host);
        await socket.SendAsync("452-[\"message\"]");
        await socket.SendAsync(new byte[60]);
        await socket.SendAsync(new byte[60]);
        Assert.Equal("closed 1002", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "S28")]
    public async Task Event_is_acknowledged_with_its_id()
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        await socket.SendAsync("42456[\"message-with-ack\",1,\"2\",{\"3\":[false]}]");
        Assert.Equal("43456[1,\"2\",{\"3\":[false]}]", await socket.ReadAsync());
        await socket.SendAsync("42/,18446744073709551615[\"message-with-ack\"]");
        Assert.Equal("4318446744073709551615[]", await socket.ReadAsync());
        await socket.SendAsync("4218446744073709551616[\"message-with-ack\"]");
        Assert.Equal("closed 1002", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "unknown event and acknowledgement")]
    public async Task Unknown_event_and_unknown_acknowledgement_are_ignored()
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        await socket.SendAsync("42[\"ping\"]");
        await socket.SendAsync("4399[1]");
        await socket.SendAsync("421[\"nobody-listens\"]");
        await socket.SendAsync("42[\"message\"]");
        Assert.Equal("42[\"message-back\"]", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "acknowledgements of the client")]
    public async Task Handler_may_wait_for_the_clients_acknowledgement()
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        await socket.SendAsync("42[\"ask-me\",{\"a\":1}]");
        Assert.Equal("421[\"question\",{\"a\":1}]", await socket.ReadAsync());
        await socket.SendAsync("431[\"yes\",2]");
        Assert.Equal("42[\"answered\",\"yes\",2]", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "acknowledgements of the client")]
    public async Task Acknowledgement_that_does_not_come_times_out_and_one_of_a_gone_client_is_cancelled()
    {
        await using var host = await StartAsync(io => io.Engine.PingInterval = TimeSpan.FromHours(1));
        using var socket = await JoinAsync(host);
        var server = await _joined.Reader.ReadAsync();
        var slow = server.EmitWithAckAsync("question", default, TimeSpan.FromSeconds(5));
        Assert.Equal("421[\"question\"]", await socket.ReadAsync());
        host.Clock.Advance(TimeSpan.FromSeconds(5));
        await Assert.ThrowsAsync<TimeoutException>(() => slow);

        var lost = server.EmitWithAckAsync("question", default, TimeSpan.FromSeconds(5));
        socket.Socket.Abort();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => lost.WaitAsync(TransportHost.Safety, TimeProvider.System));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => server.EmitWithAckAsync("question", default, TimeSpan.FromSeconds(5)));
    }

    [Fact, Trait("Requirement", "several packets in one payload (python client)")]
    public async Task Payload_of_several_packets_is_handled_in_order_and_to_its_end()
    {
        await using var host = await StartAsync();
        var sid = await host.OpenAsync();
        await host.PostAsync(sid, "40{\"a\":1}\u001e40/custom,{\"b\":2}\u001e42[\"message\",1]\u001e42[\"message\",2]");
        var packets = await ReadPollsAsync(host, sid, 6);
        Assert.StartsWith("40{", packets[0], StringComparison.Ordinal);
        Assert.Equal("42[\"auth\",{\"a\":1}]", packets[1]);
        Assert.StartsWith("40/custom,{", packets[2], StringComparison.Ordinal);
        Assert.Equal(["42/custom,[\"auth\",{\"b\":2}]", "42[\"message-back\",1]", "42[\"message-back\",2]"], packets[3..]);

        Assert.Equal("ok", (await host.PostAsync(sid, "42[\"note\",\"last words\"]\u001e41\u001e41/custom,\u001e1")).Body);
        Assert.Equal(("/", SocketIoDisconnectReason.ClientNamespaceDisconnect), await _left.Reader.ReadAsync());
        Assert.Equal(("/custom", SocketIoDisconnectReason.ClientNamespaceDisconnect), await _left.Reader.ReadAsync());
        Assert.Equal("note \"last words\"", await _events.Reader.ReadAsync());
        Assert.Equal(0, host.Engine.OpenSessions);
    }

    [Fact, Trait("Requirement", "disconnect reasons")]
    public async Task Each_end_has_its_reason()
    {
        await using var host = await StartAsync();
        using (var socket = await JoinAsync(host))
        {
            socket.Socket.Abort();
            Assert.Equal(("/", SocketIoDisconnectReason.TransportClose), await _left.Reader.ReadAsync());
        }

        using (await JoinAsync(host))
        {
            host.Clock.Advance(TimeSpan.FromMilliseconds(500));
            Assert.Equal(("/", SocketIoDisconnectReason.PingTimeout), await _left.Reader.ReadAsync());
        }

        _joined.Reader.TryRead(out _);
        _joined.Reader.TryRead(out _);
        using (var socket = await JoinAsync(host))
        {
            (await _joined.Reader.ReadAsync()).Session.Close();
            Assert.Equal(("/", SocketIoDisconnectReason.ForcedClose), await _left.Reader.ReadAsync());
        }

        using (var socket = await JoinAsync(host))
        {
            host.Engine.Stop();
            Assert.Equal(("/", SocketIoDisconnectReason.ServerShuttingDown), await _left.Reader.ReadAsync());
        }

        Assert.Equal(
            "client namespace disconnect, server namespace disconnect, transport close, transport error, ping timeout, parse error, forced close, slow consumer, server shutting down",
            string.Join(", ", Enum.GetValues<SocketIoDisconnectReason>().Select(r => r.ToText())));
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8, 9], Enum.GetValues<SocketIoDisconnectReason>().Select(r => (int)r));
        Assert.Equal([1, 2, 3, 4, 5, 6, 7], Enum.GetValues<CloseReason>().Select(r => (int)r));
    }

    [Fact, Trait("Requirement", "server namespace disconnect")]
    public async Task Server_removes_a_socket_and_what_was_under_way_harms_nobody()
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        var server = await _joined.Reader.ReadAsync();
        server.Disconnect();
        server.Disconnect();
        Assert.False(server.IsConnected);
        Assert.Equal(SendResult.Closed, server.Emit("late", 1));
        await socket.SendAsync("42[\"message\"]");
        Assert.Equal("41", await socket.ReadAsync());
        Assert.Equal(("/", SocketIoDisconnectReason.ServerNamespaceDisconnect), await _left.Reader.ReadAsync());
        await socket.SendAsync("40");
        Assert.StartsWith("40{", await socket.ReadAsync(), StringComparison.Ordinal);
    }

    [Fact, Trait("Requirement", "broadcast")]
    public async Task Broadcast_reaches_sockets_on_both_transports_with_one_encoding()
    {
        SocketIoNamespace? main = null;
        await using var host = await StartAsync(io => main = io.Namespace("/"));
        using var socket = await JoinAsync(host);
        var sid = await host.OpenAsync();
        await host.PostAsync(sid, "40");
        await ReadPollsAsync(host, sid, 2);
        await _joined.Reader.ReadAsync();
        await _joined.Reader.ReadAsync();
        Assert.Equal(2, main!.Count);

        var packet = main.Encode("news", "{\"a\":1},{\"_placeholder\":true,\"num\":0}"u8, [new byte[] { 1, 2, 3 }]);
        Assert.Equal(2, SocketIoNamespace.Broadcast(main.Sockets, packet));
        Assert.Equal(["451-[\"news\",{\"a\":1},{\"_placeholder\":true,\"num\":0}]", "[010203]"], [await socket.ReadAsync(), await socket.ReadAsync()]);
        Assert.Equal(["451-[\"news\",{\"a\":1},{\"_placeholder\":true,\"num\":0}]", "bAQID"], await ReadPollsAsync(host, sid, 2));

        var gap = SocketIoPacket.EventWithGap("/custom", "kline_data", "{\"subscription_id\":"u8, ",\"seq\":1}"u8);
        Assert.Equal("42/custom,[\"kline_data\",{\"subscription_id\":", System.Text.Encoding.UTF8.GetString(gap.Frame.Head.Span));
        Assert.Equal(",\"seq\":1}]", System.Text.Encoding.UTF8.GetString(gap.Frame.Tail.Span));
    }

    [Fact]
    public async Task Rooms_get_what_is_sent_to_them_and_are_left_with_the_namespace()
    {
        SocketIoNamespace? main = null;
        await using var host = await StartAsync(io => main = io.Namespace("/"));
        var (first, firstSocket) = await ClientAsync();
        var (second, secondSocket) = await ClientAsync();
        // Held to the end: a client that nobody refers to is collected, and closes.
        var (third, thirdSocket) = await ClientAsync();
        Assert.True(first.Join("red"));
        Assert.False(first.Join("red"));
        Assert.True(first.Join("blue"));
        Assert.True(second.Join("red"));
        Assert.Equal(["blue", "red"], first.Rooms.Order(StringComparer.Ordinal));
        Assert.Equal(2, main!.Room("red").Count);
        Assert.Empty(main.Room("green"));

        Assert.Equal(2, main.Emit("to-red", 1, room: "red"));
        Assert.Equal(1, main.Emit("to-others", 2, room: "red", except: first));
        Assert.Equal(0, main.Emit("to-nobody", 3, room: "green"));
        Assert.Equal(1, main.EmitRaw("to-blue", "4,{\"_placeholder\":true,\"num\":0}"u8, [new byte[] { 5 }], room: "blue"));
        Assert.Equal(3, main.Emit("to-all", 6));
        Assert.Equal(["42[\"to-red\",1]", "451-[\"to-blue\",4,{\"_placeholder\":true,\"num\":0}]", "[05]", "42[\"to-all\",6]"], [await firstSocket.ReadAsync(), await firstSocket.ReadAsync(), await firstSocket.ReadAsync(), await firstSocket.ReadAsync()]);
        Assert.Equal(["42[\"to-red\",1]", "42[\"to-others\",2]", "42[\"to-all\",6]"], [await secondSocket.ReadAsync(), await secondSocket.ReadAsync(), await secondSocket.ReadAsync()]);

        Assert.True(first.Leave("blue"));
        Assert.False(first.Leave("blue"));
        await firstSocket.SendAsync("41");
        await _left.Reader.ReadAsync();
        Assert.Empty(first.Rooms);
        Assert.False(first.Join("red"));
        Assert.Equal(second, Assert.Single(main.Room("red")));
        secondSocket.Socket.Abort();
        await _left.Reader.ReadAsync();
        Assert.Equal(third, Assert.Single(main.Sockets));
        Assert.Equal(0, main.Rooms.Count);
        firstSocket.Dispose();
        secondSocket.Dispose();
        thirdSocket.Dispose();

        async Task<(SocketIoSocket Socket, Ws Client)> ClientAsync()
        {
            var client = await JoinAsync(host);
            return (await _joined.Reader.ReadAsync(), client);
        }
    }

    [Fact]
    public async Task Rooms_that_are_joined_while_sockets_leave_keep_nobody()
    {
        SocketIoNamespace? main = null;
        await using var host = await StartAsync(io => main = io.Namespace("/"));
        for (var round = 0; round < 20; round++)
        {
            var client = await JoinAsync(host);
            var socket = await _joined.Reader.ReadAsync();
            var joining = Task.Run(() =>
            {
                for (var i = 0; i < 1000 && socket.IsConnected; i++)
                {
                    socket.Join($"room {i % 7}");
                    main!.Emit("news", i, room: $"room {i % 5}");
                    socket.Leave($"room {i % 3}");
                }
            });
            client.Socket.Abort();
            await _left.Reader.ReadAsync();
            await joining;
            client.Dispose();
            Assert.Equal(0, main!.Rooms.Count);
        }
    }

    [Fact]
    public async Task Handler_that_throws_harms_neither_its_socket_nor_others()
    {
        await using var host = await StartAsync();
        using var socket = await JoinAsync(host);
        await socket.SendAsync("42[\"throw\"]");
        await socket.SendAsync("42[\"message\",1]");
        Assert.Equal("42[\"message-back\",1]", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "backpressure")]
    public async Task Client_that_sends_faster_than_its_handlers_work_loses_nothing()
    {
        await using var host = await StartAsync(io => io.MaxQueuedPackets = 4);
        using var socket = await JoinAsync(host);
        for (var i = 0; i < 500; i++)
            await socket.SendAsync($"42[\"message\",{i}]");
        for (var i = 0; i < 500; i++)
            Assert.Equal($"42[\"message-back\",{i}]", await socket.ReadAsync());
    }

    [Fact]
    public async Task Arguments_are_read_as_values_or_refused_as_values()
    {
        var seen = Channel.CreateUnbounded<string>();
        await using var host = await StartAsync(io => io.Namespace("/").On("typed", (socket, e) =>
            seen.Writer.TryWrite($"{e.Count} {e.TryGet<int>(0, out var n)} {n} {e.TryGet<string>(1, out var s)} {s} {e.TryGet<int>(1, out _)} {e.TryGet<int>(9, out _)} {e.TryGetBinary(2, out var b)} {b.Length} {e.WantsAck}")));
        using var socket = await JoinAsync(host);
        await socket.SendAsync("451-7[\"typed\",5,\"x\",{\"_placeholder\":true,\"num\":0}]");
        await socket.SendAsync([1, 2]);
        Assert.Equal("3 True 5 True x False False True 2 True", await seen.Reader.ReadAsync());
        await socket.SendAsync("42[\"typed\"]");
        Assert.Equal("0 False 0 False  False False False 0 False", await seen.Reader.ReadAsync());
    }

    [Theory]
    [InlineData("chat")]
    [InlineData("/a,b")]
    [InlineData("/a?b")]
    public void Namespace_with_a_bad_name_is_refused(string name) =>
        Assert.Throws<ArgumentException>(() => new SocketIoOptions().Namespace(name));

    private async Task<TransportHost> StartAsync(Action<SocketIoOptions>? more = null) => await TransportHost.StartSocketAsync(io =>
    {
        io.Namespace("/")
            .OnConnect(Joined)
            .On("message", (socket, e) => socket.EmitRaw("message-back", e.RawArguments.Span, [.. e.Attachments]))
            .On("message-with-ack", (_, e) => e.AckRaw(e.RawArguments.Span, [.. e.Attachments]))
            .On("note", (_, e) => _events.Writer.TryWrite($"note {System.Text.Encoding.UTF8.GetString(e.RawArguments.Span)}"))
            .On("throw", (_, _) => throw new InvalidOperationException("on purpose"))
            .On("ask-me", async (socket, e) =>
            {
                var answer = await socket.EmitWithAckAsync("question", e.RawArguments, TimeSpan.FromSeconds(10));
                socket.EmitRaw("answered", answer.RawArguments.Span);
            })
            .OnDisconnect(Left);
        io.Namespace("/custom").OnConnect(Joined).OnDisconnect(Left);
        io.Namespace("/refused").Use(_ => ValueTask.FromResult<SocketIoRefusal?>(new SocketIoRefusal("No", "{\"code\":7}"u8.ToArray())));
        io.Namespace("/broken").Use(_ => throw new InvalidOperationException("on purpose"));
        more?.Invoke(io);

        void Joined(SocketIoSocket socket)
        {
            socket.EmitRaw("auth", socket.Auth.IsEmpty ? "{}"u8 : socket.Auth.Span);
            _joined.Writer.TryWrite(socket);
        }

        void Left(SocketIoSocket socket, SocketIoDisconnectReason reason) => _left.Writer.TryWrite((socket.Namespace.Name, reason));
    });

    private static async Task<Ws> JoinAsync(TransportHost host)
    {
        var socket = await host.OpenWebSocketAsync();
        await socket.SendAsync("40");
        Assert.StartsWith("40{", await socket.ReadAsync(), StringComparison.Ordinal);
        Assert.Equal("42[\"auth\",{}]", await socket.ReadAsync());
        return socket;
    }

    private static async Task<string[]> ReadPollsAsync(TransportHost host, string sid, int count)
    {
        var packets = new List<string>();
        while (packets.Count < count)
            packets.AddRange((await host.PollAsync(sid)).Body.Split('\u001e'));
        return [.. packets];
    }
}

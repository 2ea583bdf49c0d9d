using System.IO.Compression;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using KlineOrleans.Web.Transports.EngineIo;
using Microsoft.AspNetCore.Http;

namespace KlineOrleans.Web.Tests.Transports.EngineIo;

public sealed class PollingTests
{
    [Theory, Trait("Requirement", "E8 E9 E10")]
    [InlineData("4hello")]
    [InlineData("4test1\u001e4test2\u001e4test3")]
    [InlineData("4hello\u001ebAQIDBA==")]
    [InlineData("b\u001e4é€😀\u001ebAQ==")]
    public async Task Packets_of_a_post_come_back_in_one_poll_in_their_order(string body)
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        var post = await host.PostAsync(sid, body);
        Assert.Equal((200, "ok", "text/html", "no-store"), (post.Code, post.Body, post.Headers["Content-Type"], post.Headers["Cache-Control"]));
        var poll = await host.PollAsync(sid);
        Assert.Equal((200, body, "text/plain; charset=UTF-8", "no-store"), (poll.Code, poll.Body, poll.Headers["Content-Type"], poll.Headers["Cache-Control"]));
        Assert.Equal(Encoding.UTF8.GetByteCount(body).ToString(System.Globalization.CultureInfo.InvariantCulture), poll.Headers["Content-Length"]);
    }

    [Fact]
    public async Task Pending_poll_gets_what_is_sent_later()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        var poll = host.PollAsync(sid);
        await host.PostAsync(sid, "4a");
        Assert.Equal("4a", (await poll).Body);
    }

    [Theory, Trait("Requirement", "E11, empty and bad bodies")]
    [InlineData("abc")]
    [InlineData("")]
    [InlineData("4a\u001e")]
    [InlineData("bnot base64")]
    [InlineData("7")]
    public async Task Post_of_a_bad_packet_closes_the_session(string body)
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        var poll = host.PollAsync(sid);
        Assert.Equal((400, """{"code":3,"message":"Bad request"}"""), await CodeAndBody(host.PostAsync(sid, body)));
        var ended = await poll;
        Assert.True((ended.Code, ended.Body) is (200, "1") or (400, _) or (200, "4a"), ended.Body);
        Assert.Equal(400, (await host.PollAsync(sid)).Code);
        Assert.Equal(CloseReason.ParseError, await host.Echo.ClosedAsync());
        Assert.Equal(0, host.Engine.KnownSessions);
    }

    [Fact, Trait("Requirement", "client ping")]
    public async Task Ping_of_a_client_closes_the_session_and_packets_of_no_meaning_do_not()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        Assert.Equal("ok", (await host.PostAsync(sid, "0\u001e6\u001e5\u001e3\u001e4a")).Body);
        Assert.Equal("4a", (await host.PollAsync(sid)).Body);
        await host.PostAsync(sid, "2");
        Assert.Equal(CloseReason.TransportError, await host.Echo.ClosedAsync());
        Assert.Equal(400, (await host.PollAsync(sid)).Code);
    }

    [Fact, Trait("Requirement", "E12")]
    public async Task Second_poll_ends_the_first_with_a_close_and_closes_the_session()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        // Which of the two arrives first is the network's affair.
        var both = await Task.WhenAll(host.PollAsync(sid), host.PollAsync(sid));
        Assert.Equal(["200 1", "400 "], both.Select(a => $"{a.Code} {a.Body}").Order(StringComparer.Ordinal));
        Assert.Equal(CloseReason.TransportError, await host.Echo.ClosedAsync());
        Assert.Equal(400, (await host.PollAsync(sid)).Code);
    }

    [Fact, Trait("Requirement", "second POST")]
    public async Task Second_post_while_one_is_read_closes_the_session()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        var poll = host.PollAsync(sid);
        var inside = new TaskCompletionSource();
        var release = new TaskCompletionSource();
        host.Echo.OnText = async (_, _) =>
        {
            inside.TrySetResult();
            await release.Task;
        };
        var first = host.PostAsync(sid, "4a");
        await inside.Task.WaitAsync(TransportHost.Safety, TimeProvider.System);
        Assert.Equal((400, ""), await CodeAndBody(host.PostAsync(sid, "4b")));
        release.SetResult();
        await first;
        Assert.Equal((200, "1"), await CodeAndBody(poll));
        Assert.Equal(400, (await host.PollAsync(sid)).Code);
    }

    [Theory]
    [InlineData("4a", 200)]
    [InlineData(null, 413)]
    public async Task Next_post_may_begin_as_soon_as_the_answer_leaves(string? body, int status)
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        var next = 0;
        var context = new DefaultHttpContext();
        context.Request.Method = "POST";
        context.Request.QueryString = new QueryString($"?EIO=4&transport=polling&sid={sid}");
        context.Request.Body = new MemoryStream(Encoding.UTF8.GetBytes(body ?? new string('4', 1_000_001)));
        context.Response.Body = new AnswerStream(async () => next = (await host.PostAsync(sid, "4b")).Code);
        await host.Engine.HandleAsync(context).WaitAsync(TransportHost.Safety, TimeProvider.System);
        await context.Response.CompleteAsync();
        Assert.Equal((status, 200), (context.Response.StatusCode, next is 0 ? (await host.PostAsync(sid, "4b")).Code : next));
        Assert.Equal(body is null ? "4b" : "4a\u001e4b", (await host.PollAsync(sid)).Body);
    }

    /// <summary>Where an answer goes: its client acts before the writer is told that it has left.</summary>
    private sealed class AnswerStream(Func<Task> client) : MemoryStream
    {
        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => await client();
    }

    [Fact, Trait("Requirement", "E13")]
    public async Task Poll_that_its_client_breaks_off_closes_the_session()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        using (var tcp = new TcpClient())
        {
            var uri = new Uri(host.Url);
            await tcp.ConnectAsync(uri.Host, uri.Port);
            await tcp.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"GET /engine.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n\r\n"));
        }

        Assert.Equal(CloseReason.TransportClose, await host.Echo.ClosedAsync());
        Assert.Equal(400, (await host.PollAsync(sid)).Code);
    }

    [Fact, Trait("Requirement", "octet-stream")]
    public async Task Binary_post_closes_the_session()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        var content = new ByteArrayContent([4, 1]);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        Assert.Equal((400, ""), await CodeAndBody(host.SendAsync(HttpMethod.Post, $"EIO=4&transport=polling&sid={sid}", content)));
        Assert.Equal(CloseReason.TransportError, await host.Echo.ClosedAsync());
    }

    [Theory, Trait("Requirement", "413")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Body_above_the_bound_is_refused_and_the_session_lives_on(bool chunked)
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.MaxPayload = 100_000);
        var sid = await host.OpenAsync();
        var fits = "4" + new string('x', 99_999);
        Assert.Equal(200, (await host.PostAsync(sid, fits)).Code);
        Assert.Equal(fits, (await host.PollAsync(sid)).Body);

        HttpContent content = new StringContent(fits + "x");
        if (chunked)
            content = new ChunkedContent(Encoding.ASCII.GetBytes(fits + "x"));
        Assert.Equal((413, ""), await CodeAndBody(host.SendAsync(HttpMethod.Post, $"EIO=4&transport=polling&sid={sid}", content)));
        Assert.Equal(200, (await host.PostAsync(sid, "4still here")).Code);
        Assert.Equal("4still here", (await host.PollAsync(sid)).Body);
    }

    [Theory, Trait("Requirement", "PUT and DELETE")]
    [InlineData("PUT")]
    [InlineData("DELETE")]
    [InlineData("PATCH")]
    public async Task Other_methods_are_not_allowed_and_change_nothing(string method)
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        Assert.Equal(405, (await host.SendAsync(new HttpMethod(method), $"EIO=4&transport=polling&sid={sid}")).Code);
        await host.PostAsync(sid, "4a");
        Assert.Equal("4a", (await host.PollAsync(sid)).Body);
    }

    [Fact]
    public async Task Large_answer_is_compressed_if_the_client_accepts_it()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        var large = "4" + new string('x', 2000);
        await host.PostAsync(sid, large);
        using var request = new HttpRequestMessage(HttpMethod.Get, host.Query($"EIO=4&transport=polling&sid={sid}"));
        request.Headers.TryAddWithoutValidation("Accept-Encoding", "gzip, deflate");
        using var response = await host.Http.SendAsync(request);
        Assert.Equal("gzip", Assert.Single(response.Content.Headers.ContentEncoding));
        await using var gzip = new GZipStream(await response.Content.ReadAsStreamAsync(), CompressionMode.Decompress);
        using var reader = new StreamReader(gzip);
        Assert.Equal(large, await reader.ReadToEndAsync());

        await host.PostAsync(sid, large);
        var refused = await host.SendAsync(HttpMethod.Get, $"EIO=4&transport=polling&sid={sid}", null, ("Accept-Encoding", "gzip;q=0"));
        Assert.False(refused.Headers.ContainsKey("Content-Encoding"));
        Assert.Equal(large, refused.Body);
    }

    private static async Task<(int Code, string Body)> CodeAndBody(Task<Answer> answer)
    {
        var a = await answer;
        return (a.Code, a.Body);
    }

    private sealed class ChunkedContent(byte[] bytes) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, System.Net.TransportContext? context)
        {
            foreach (var chunk in bytes.Chunk(5000))
                await stream.WriteAsync(chunk);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}

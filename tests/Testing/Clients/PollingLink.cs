using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;

namespace KlineOrleans.Testing.Clients;

/// <summary>Engine.IO 4 by long polling: one GET waits while the client reads, a POST carries what it says.</summary>
public sealed class PollingLink : ITextLink
{
    private const char Separator = '\u001e';

    private readonly HttpClient _http;
    private readonly Uri _address;
    private readonly CancellationTokenSource _gone = new();
    private readonly SemaphoreSlim _posting = new(1, 1);
    private readonly Queue<string> _packets = [];
    private volatile int _bytesPerSecond;
    private bool _closed;

    private PollingLink(HttpClient http, Uri address, string sid, int bytesPerSecond)
    {
        _http = http;
        _bytesPerSecond = bytesPerSecond;
        _address = new Uri(address, $"/socket.io/?EIO=4&transport=polling&sid={sid}");
    }

    public int? CloseStatus { get; private set; }

    public string? CloseReason { get; private set; }

    /// <summary>Opens a session. Further packets of the handshake's answer are received first.</summary>
    public static async Task<PollingLink> Connect(HttpClient http, Uri address, LinkOptions? options = null)
    {
        var answer = await http.GetStringAsync(new Uri(address, "/socket.io/?EIO=4&transport=polling"));
        var packets = answer.Split(Separator);
        using var open = System.Text.Json.JsonDocument.Parse(packets[0][1..]);
        var link = new PollingLink(http, address, open.RootElement.GetProperty("sid").GetString()!, options?.BytesPerSecond ?? 0);
        foreach (var packet in packets[1..])
        {
            link._packets.Enqueue(packet);
        }

        return link;
    }

    public void Hurry() => _bytesPerSecond = 0;

    public async Task Send(string text)
    {
        await _posting.WaitAsync(_gone.Token);
        try
        {
            using var body = new StringContent(text, Encoding.UTF8, new MediaTypeHeaderValue("text/plain", "UTF-8"));
            using var answer = await _http.PostAsync(_address, body, _gone.Token);
            if (!answer.IsSuccessStatusCode)
            {
                throw new IOException($"{answer.StatusCode}: {await answer.Content.ReadAsStringAsync()}");
            }
        }
        catch (Exception e) when (e is HttpRequestException or SocketException)
        {
            throw new IOException("The connection is gone.", e);
        }
        finally
        {
            _posting.Release();
        }
    }

    public async Task<string?> Receive()
    {
        try
        {
            while (!_closed)
            {
                if (_packets.TryDequeue(out var packet))
                {
                    if (packet == "1")
                    {
                        CloseReason = "close";
                        break;
                    }

                    if (packet == "6")
                    {
                        continue;
                    }

                    return packet;
                }

                using var answer = await _http.GetAsync(_address, _gone.Token);
                var body = await answer.Content.ReadAsStringAsync(_gone.Token);
                if (!answer.IsSuccessStatusCode)
                {
                    (CloseStatus, CloseReason) = ((int)answer.StatusCode, body);
                    break;
                }

                if (_bytesPerSecond > 0)
                {
                    await Task.Delay(TimeSpan.FromSeconds((double)body.Length / _bytesPerSecond), TimeProvider.System, _gone.Token);
                }

                foreach (var one in body.Split(Separator))
                {
                    _packets.Enqueue(one);
                }
            }
        }
        catch (Exception e) when (e is HttpRequestException or SocketException or IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The connection is gone.
        }

        _closed = true;
        return null;
    }

    public void Abort()
    {
        _closed = true;
        _gone.Cancel();
    }

    public ValueTask DisposeAsync()
    {
        Abort();
        return ValueTask.CompletedTask;
    }
}

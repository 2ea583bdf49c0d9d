using System.Collections.Concurrent;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Silo.Tests;

/// <summary>A collector of OpenTelemetry on loopback, as far as a test needs one: takes OTLP over HTTP and keeps the names. Thread safe.</summary>
internal sealed class OtlpReceiver : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly WebApplication _app;
    private readonly ConcurrentDictionary<(string Scope, string Name), byte> _metrics = new();
    private readonly ConcurrentDictionary<(string Scope, string Name), byte> _spans = new();
    private readonly ConcurrentDictionary<string, string> _resource = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();
    private volatile Exception? _failure;
    private TaskCompletionSource _more = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private OtlpReceiver(WebApplication app) => _app = app;

    public Uri Address { get; private set; } = null!;

    /// <summary>Header <c>x-key</c> of the newest request.</summary>
    public string? Key { get; private set; }

    /// <summary>Meters and their instruments.</summary>
    public IEnumerable<(string Scope, string Name)> Metrics => _metrics.Keys;

    /// <summary>Sources of activities and their spans.</summary>
    public IEnumerable<(string Scope, string Name)> Spans => _spans.Keys;

    /// <summary>Attributes of whoever sends.</summary>
    public IReadOnlyDictionary<string, string> Resource => _resource;

    public static async Task<OtlpReceiver> Start()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var app = builder.Build();
        var receiver = new OtlpReceiver(app);
        app.MapPost("/v1/metrics", context => receiver.Answer(context, receiver._metrics));
        app.MapPost("/v1/traces", context => receiver.Answer(context, receiver._spans));
        await app.StartAsync();
        receiver.Address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        return receiver;
    }

    /// <summary>Completes once what was received is as wanted.</summary>
    public async Task Until(Func<OtlpReceiver, bool> wanted)
    {
        using var patience = new CancellationTokenSource(Patience, TimeProvider.System);
        while (true)
        {
            Task more;
            lock (_lock)
            {
                more = _more.Task;
            }

            if (_failure is { } failure)
            {
                throw new InvalidDataException("What came is not OTLP.", failure);
            }

            if (wanted(this))
            {
                return;
            }

            try
            {
                await more.WaitAsync(patience.Token);
            }
            catch (OperationCanceledException late)
            {
                throw new TimeoutException($"Only these came: {string.Join(", ", Metrics.Concat(Spans).Order())}", late);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
    }

    private async Task Answer(HttpContext context, ConcurrentDictionary<(string Scope, string Name), byte> into)
    {
        try
        {
            await Take(context, into);
        }
        catch (Exception error)
        {
            _failure = error;
        }

        lock (_lock)
        {
            _more.TrySetResult();
            _more = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    // Both requests are alike: field 1 (resource) of field 1 has attributes; its field 2 is a scope with a name in field 1 and what it holds in field 2.
    private async Task Take(HttpContext context, ConcurrentDictionary<(string Scope, string Name), byte> into)
    {
        Assert.Equal("application/x-protobuf", context.Request.ContentType);
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body, context.RequestAborted);
        foreach (var resource in Fields(body.ToArray(), 1))
        {
            foreach (var attribute in Fields(resource, 1).SelectMany(r => Fields(r, 1)))
            {
                _resource[Text(Fields(attribute, 1).Single())] = Fields(attribute, 2).SelectMany(v => Fields(v, 1)).Select(Text).FirstOrDefault() ?? "";
            }

            foreach (var scope in Fields(resource, 2))
            {
                var name = Text(Fields(Fields(scope, 1).Single(), 1).Single());
                foreach (var item in Fields(scope, 2))
                {
                    // A metric's name is its first field, a span's the fifth.
                    into[(name, Text(Fields(item, into == _metrics ? 1 : 5).Single()))] = 0;
                }
            }
        }

        Key = context.Request.Headers["x-key"];
    }

    private static string Text(byte[] bytes) => Encoding.UTF8.GetString(bytes);

    /// <summary>The length-delimited fields of a protobuf message that have the number.</summary>
    private static List<byte[]> Fields(byte[] message, int number)
    {
        List<byte[]> found = [];
        var at = 0;
        while (at < message.Length)
        {
            var tag = Varint();
            switch (tag & 7)
            {
                case 0:
                    Varint();
                    break;
                case 1:
                    at += 8;
                    break;
                case 2:
                    var length = (int)Varint();
                    if ((int)(tag >> 3) == number)
                    {
                        found.Add(message[at..(at + length)]);
                    }

                    at += length;
                    break;
                case 5:
                    at += 4;
                    break;
                default:
                    throw new InvalidDataException($"Wire type {tag & 7} is not of protobuf 3.");
            }
        }

        Assert.Equal(message.Length, at);
        return found;

        ulong Varint()
        {
            ulong value = 0;
            for (var shift = 0; ; shift += 7)
            {
                var b = message[at++];
                value |= (ulong)(b & 0x7F) << shift;
                if (b < 0x80)
                {
                    return value;
                }
            }
        }
    }
}

using KlineOrleans.Web.Transports.Direct;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web;

/// <summary>When the server stops: lets no more clients in, sends each what waits for it, tells it, closes it, and cuts off who does not take that in time. Thread safe.</summary>
/// <remarks>
/// Runs while the lifetime says that it stops, and holds that up: SignalR, Kestrel and whatever else closes connections do it after this, and less politely.
/// The cut is of the connection and so the same for every wire, and for what is none: a poll, a download that is not read, a request whose body never comes.
/// </remarks>
internal sealed class Farewell(WebCounters counters, ConnectionLimit limit, DirectTransport direct, IHostApplicationLifetime lifetime, ILogger<Farewell> log) : IHostedService, IDisposable
{
    /// <summary>How long a client has to take what waits for it and to answer the close.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    // Aborted requests end at once, but for those whose code waits for something else.
    private static readonly TimeSpan LastPatience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(10);

    private readonly CancellationTokenSource _cut = new();
    private readonly ManualResetEventSlim _never = new();
    private CancellationTokenRegistration _stopping;
    private int _requests;

    // A WebSocket's request ends with its handshake, and lives on as a connection that was taken.
    private bool HasRequests => Volatile.Read(ref _requests) > 0 || direct.Taken > 0;

    /// <summary>Counts a request, and ends it if it is still there after everybody's time is up.</summary>
    public async Task Invoke(HttpContext context, RequestDelegate next)
    {
        Interlocked.Increment(ref _requests);
        try
        {
            await using var cut = _cut.Token.UnsafeRegister(static context => ((HttpContext)context!).Abort(), context);
            await next(context);
        }
        finally
        {
            Interlocked.Decrement(ref _requests);
        }
    }

    /// <summary>Lets a connection be, and ends it if it is still there after everybody's time is up.</summary>
    public async Task Invoke(ConnectionContext connection, ConnectionDelegate next)
    {
        await using var cut = _cut.Token.UnsafeRegister(static connection => ((ConnectionContext)connection!).Abort(), connection);
        await next(connection);
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        // Callbacks run in the opposite order of their registration: this one before those of the transports, which were mapped before.
        _cut.Token.UnsafeRegister(static direct => ((DirectTransport)direct!).AbortTaken(), direct);
        _stopping = lifetime.ApplicationStopping.Register(Say);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose()
    {
        _stopping.Dispose();
        _cut.Dispose();
        _never.Dispose();
    }

    private void Say()
    {
        limit.Close();

        // Some connections are nobody's request: what comes after this waits for them too.
        _cut.CancelAfter(Patience);
        var clients = counters.Clients.ToList();
        if (clients.Count > 0)
        {
            log.LogInformation(1512, "The server stops: {Clients} clients are told", clients.Count);
        }

        var started = TimeProvider.System.GetTimestamp();
        while (!IsOver() && TimeProvider.System.GetElapsedTime(started) < Patience)
        {
            // Again and again: one may have been let in just before.
            foreach (var client in counters.Clients)
            {
                client.Finish(DisconnectReason.ServerShutdown);
            }

            // The host's thread, which has nothing else to do. Our clock and not the host's: who stops does not wait for one moved by hand.
            _never.Wait(LookEvery);
        }

        if (IsOver())
        {
            return;
        }

        log.LogInformation(1513, "{Clients} clients and {Requests} requests did not end in time and are cut off; they lose nothing that coming back does not give them", counters.Clients.Count(), Volatile.Read(ref _requests) + direct.Taken);
        _cut.Cancel();
        started = TimeProvider.System.GetTimestamp();
        while (HasRequests && TimeProvider.System.GetElapsedTime(started) < LastPatience)
        {
            _never.Wait(LookEvery);
        }
    }

    private bool IsOver() => !HasRequests && !counters.Clients.Any();
}

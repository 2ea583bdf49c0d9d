namespace KlineOrleans.Silo.Setup;

/// <summary>Bounds a stop: clients are told and connections end (3 s at most), then sources stop and grains save, and after <see cref="Longest"/> in all the process ends whatever still waits.</summary>
/// <remarks>What is not saved by then is read again after the restart: the checkpoint has not moved past it.</remarks>
internal sealed class GracefulStop(IHostApplicationLifetime lifetime, TimeProvider time) : IHostedService, IDisposable
{
    /// <summary>From the signal to the end of the process.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(9.5);

    /// <summary>For all that is stopped in turn, so that a store that hangs is given up before the process is.</summary>
    private static readonly TimeSpan ForServices = TimeSpan.FromSeconds(8.5);

    private CancellationTokenRegistration _stopping;
    private ITimer? _end;

    public static void Configure(WebApplicationBuilder builder)
    {
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = ForServices);
        builder.Services.AddHostedService<GracefulStop>();
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _stopping = lifetime.ApplicationStopping.Register(() => _end = time.CreateTimer(_ => End(), null, Longest, Timeout.InfiniteTimeSpan));
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose()
    {
        _stopping.Dispose();
        _end?.Dispose();
    }

    private static void End()
    {
        Console.Error.WriteLine("The server did not stop in time and ends now; what was not saved is read again at the next start.");
        Environment.Exit(Startup.StoppedUnsaved);
    }
}

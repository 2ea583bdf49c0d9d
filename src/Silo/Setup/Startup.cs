using KlineOrleans.Grains;
using KlineOrleans.Ingest;
using KlineOrleans.Storage;
using KlineOrleans.Web;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Silo.Setup;

/// <summary>Composes the rooms into one process, runs it, and turns what is wrong with its settings into one clear line.</summary>
internal static class Startup
{
    /// <summary>Exit code: stopped as asked.</summary>
    public const int Stopped = 0;

    /// <summary>Exit code: cannot start for a reason outside the settings, such as a port or a file in use.</summary>
    public const int CannotStart = 1;

    /// <summary>Exit code: a setting is wrong.</summary>
    public const int BadSetting = 2;

    /// <summary>Exit code: stopped as asked, and something that had to be saved was not in time. It is read again.</summary>
    public const int StoppedUnsaved = 3;

    /// <summary>For a host that could not start to end what had started.</summary>
    private static readonly TimeSpan FailedStart = TimeSpan.FromSeconds(6);

    public static async Task<int> Run(string[] args)
    {
        if (args is ["--help"] or ["-h"] or ["help"])
        {
            Console.WriteLine(CommandLine.Help);
            return Stopped;
        }

        if (args is ["health", var address])
        {
            return await HealthCommand.Run(address);
        }

        if (StoreCommand.TryParse(args, out var command))
        {
            args = command.Settings;
        }

        if ((command?.Wrong ?? CommandLine.Check(args)) is { } wrong)
        {
            await Console.Error.WriteLineAsync(wrong);
            return BadSetting;
        }

        try
        {
            if (command is not null)
            {
                Console.WriteLine(await command.Run());
                return Stopped;
            }

            await Run(Compose(args), TimeProvider.System);
            return Stopped;
        }
        catch (ConfigurationException error)
        {
            return await Refuse(BadSetting, error.Errors);
        }
        catch (OptionsValidationException error)
        {
            return await Refuse(BadSetting, error.Failures);
        }
        catch (StorageOpenException error)
        {
            return await Refuse(CannotStart, [error.Message]);
        }
        catch (IOException error) when (error.InnerException is AddressInUseException)
        {
            return await Refuse(CannotStart, [$"urls: {error.Message} Another process listens there; give another address, as in --urls http://127.0.0.1:8081"]);
        }
        catch (InvalidOperationException error) when (UnreadableSetting.TryDescribe(error, out var line))
        {
            return await Refuse(BadSetting, [line]);
        }
    }

    /// <summary>Starts a host, waits for its stop, and disposes of it.</summary>
    /// <remarks>
    /// <see cref="GracefulStop"/> bounds the stop of a host that has started. One that has not is stopped here, so that what did start, the sources before all, ends before the
    /// store closes under it; <see cref="FailedStart"/> after that the reason is told and the process ends, whatever still waits.
    /// </remarks>
    /// <exception cref="Exception">Why it did not start.</exception>
    internal static async Task Run(IHost host, TimeProvider time)
    {
        try
        {
            await host.StartAsync();
        }
        catch
        {
            Logging.StartFailed();
            var ending = Task.Run(() => End(host, time));
            if (await Task.WhenAny(ending, Task.Delay(FailedStart, time)) != ending)
            {
                // Nothing was served, and what was read is read again.
                _ = ending.ContinueWith(static t => t.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            }

            throw;
        }

        try
        {
            await host.WaitForShutdownAsync();
        }
        finally
        {
            await Dispose(host);
        }
    }

    private static async Task End(IHost host, TimeProvider time)
    {
        try
        {
            using var patience = new CancellationTokenSource(FailedStart / 2, time);
            await host.StopAsync(patience.Token);
        }
        catch (Exception)
        {
            // What kept it from starting is what counts.
        }

        await Dispose(host);
    }

    private static async ValueTask Dispose(IHost host)
    {
        if (host is IAsyncDisposable disposable)
        {
            await disposable.DisposeAsync();
        }
        else
        {
            host.Dispose();
        }
    }

    /// <param name="args">Settings as on the command line.</param>
    /// <param name="replace">What a test puts in the place of a service, such as the clock.</param>
    internal static WebApplication Compose(string[] args, Action<IServiceCollection>? replace = null)
    {
        var builder = CreateBuilder(args);
        KnownSettings.Check(builder.Configuration);
        Profile.Configure(builder);
        Logging.Configure(builder);
        Addresses.Configure(builder);
        Telemetry.Configure(builder);

        builder.Services.AddTradeSources(builder.Configuration);
        var cluster = ClusterSettings.Read(builder.Configuration, GrainEngine.CanShare, GrainEngine.Name);
        builder.Services.AddSingleton(cluster);
        if (cluster.IsShared)
        {
            builder.Services.AddSingleton<IHostedService, ClusterTables>();
        }

        builder.Services.AddKlineStorage(builder.Configuration);
        builder.Services.Configure<StorageOptions>(storage => storage.Shared = cluster.IsShared);
        if (cluster.Role != Role.Web)
        {
            builder.Services.AddKlineGrains();
            builder.Services.AddHostedService<IdleMemory>();
        }

        GrainEngine.Add(builder, cluster);
        if (cluster.Role != Role.Web)
        {
            if (cluster.IsShared)
            {
                builder.Services.AddDeparture();
            }

            builder.Services.AddSourceKeeper(stopsSources: !cluster.IsShared);
        }

        builder.Services.AddKlineWeb(builder.Configuration);
        builder.Services.Configure<WebOptions>(web => web.Engine = GrainEngine.Name);
        GracefulStop.Configure(builder);
        builder.Services.AddHostedService<FileLimit>();
        builder.Services.AddHostedService<Banner>();
        replace?.Invoke(builder.Services);

        var app = builder.Build();
        if (cluster.Role == Role.Silo)
        {
            app.MapKlineOperations();
        }
        else
        {
            app.MapKlineWeb();
        }

        GrainEngine.Map(app, cluster);
        return app;
    }

    /// <summary>Settings beside the program, then the environment, then the command line; files of the current folder are the user's own.</summary>
    internal static WebApplicationBuilder CreateBuilder(string[] args) =>
        WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });

    private static async Task<int> Refuse(int code, IEnumerable<string> reasons)
    {
        foreach (var reason in reasons)
        {
            await Console.Error.WriteLineAsync(reason);
        }

        return code;
    }
}

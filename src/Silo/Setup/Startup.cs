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

    public static async Task<int> Run(string[] args)
    {
        if (args is ["--help"] or ["-h"] or ["help"])
        {
            Console.WriteLine(CommandLine.Help);
            return Stopped;
        }

        if (CommandLine.Check(args) is { } wrong)
        {
            await Console.Error.WriteLineAsync(wrong);
            return BadSetting;
        }

        try
        {
            await using var app = Compose(args);
            await app.RunAsync();
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

    internal static WebApplication Compose(string[] args)
    {
        // Settings beside the program, then the environment, then the command line; files of the current folder are the user's own.
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
        Logging.Configure(builder);
        Addresses.Configure(builder);

        builder.Services.AddTradeSources(builder.Configuration);
        builder.Services.AddKlineStorage(builder.Configuration);
        builder.Services.AddKlineGrains();
        GrainEngine.Add(builder);
        builder.Services.AddSourceKeeper(stopsSources: true);
        builder.Services.AddKlineWeb(builder.Configuration);
        builder.Services.Configure<WebOptions>(web => web.Engine = GrainEngine.Name);
        builder.Services.AddHostedService<Banner>();

        var app = builder.Build();
        app.MapKlineWeb();
        return app;
    }

    private static async Task<int> Refuse(int code, IEnumerable<string> reasons)
    {
        foreach (var reason in reasons)
        {
            await Console.Error.WriteLineAsync(reason);
        }

        return code;
    }
}

using System.Globalization;
using KlineOrleans.Web;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Silo.Setup;

/// <summary>Says at the start how many connections the process can hold: each is an open file, and what the system allows is often less than what the settings do.</summary>
internal sealed class FileLimit(IOptions<WebOptions> options, ILogger<FileLimit> log) : IHostedService
{
    /// <summary>Files that the server has open besides: the store, the program's own, sources, requests that come and go.</summary>
    public const int Reserved = 256;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        var wanted = options.Value.Limits.Connections;
        if (Read() is not { } files)
        {
            return Task.CompletedTask;
        }

        var room = Room(files);
        if (room < wanted)
        {
            log.LogWarning(
                1601, "Room for {Room} connections only: the system allows this process {Files} open files (ulimit -n), of which {Reserved} are kept for other uses, and Kline:Web:Limits:Connections is {Wanted}. Raise the limit to {Needed} or lower the setting; beyond it new connections are not accepted",
                room,
                files,
                Reserved,
                wanted,
                wanted + Reserved);
        }
        else
        {
            log.LogInformation(1602, "Room for {Wanted} connections (Kline:Web:Limits:Connections); the system allows {Files} open files", wanted, files);
        }

        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>How many connections fit into so many open files.</summary>
    public static long Room(long files) => Math.Max(0, files - Reserved);

    /// <summary>The open files that the process may have now; null where the system does not say (it is Linux that says it here).</summary>
    private static long? Read()
    {
        try
        {
            return Parse(File.ReadAllText("/proc/self/limits"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Reads the soft limit of open files from Linux's table of limits; null if it is not there.</summary>
    public static long? Parse(string limits)
    {
        const string Name = "Max open files";
        var line = limits.Split('\n').FirstOrDefault(l => l.StartsWith(Name, StringComparison.Ordinal));
        return line?[Name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries) switch
        {
            ["unlimited", ..] => long.MaxValue,
            [var soft, ..] when long.TryParse(soft, NumberStyles.None, CultureInfo.InvariantCulture, out var files) => files,
            _ => null,
        };
    }
}

using System.Globalization;

namespace KlineOrleans.Web.Transports.Direct;

/// <summary>How many files, and so connections, the system lets this process hold.</summary>
internal static class OpenFileLimit
{
    // The store, logs, assemblies, listening sockets.
    public const int NotForConnections = 250;

    /// <summary>Null where the system does not say, or sets none. The runtime raises the limit to the hard one by itself.</summary>
    public static long? Read() => Read("/proc/self/limits");

    internal static long? Read(string path)
    {
        try
        {
            const string Name = "Max open files";
            foreach (var line in File.ReadLines(path))
            {
                if (line.StartsWith(Name, StringComparison.Ordinal))
                {
                    var soft = line[Name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0];
                    return long.TryParse(soft, NumberStyles.None, CultureInfo.InvariantCulture, out var limit) ? limit : null;
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // No Linux, or a closed one.
        }

        return null;
    }
}

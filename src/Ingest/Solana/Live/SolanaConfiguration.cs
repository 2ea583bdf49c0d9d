using System.Collections.Immutable;
using Microsoft.Extensions.Configuration;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>Reads and checks the options of a <see cref="SourceKind.Solana"/>.</summary>
internal static class SolanaConfiguration
{
    private const int MaxEndpoints = 16;

    public static SolanaOptions Read(SectionReader reader, Func<IConfigurationSection, List<SolanaProgram>> readPrograms)
    {
        var defaults = new SolanaOptions();
        var programs = readPrograms(reader.Child("Programs"));
        var options = defaults with
        {
            Endpoints = ReadEndpoints(reader, defaults.Endpoints),
            Programs = programs.Count == 0 ? defaults.Programs : new ProgramCatalog(programs),
            Commitment = reader.Choice<SolanaCommitment>("Commitment") ?? defaults.Commitment,
            IdleTimeout = reader.Duration("IdleTimeout", defaults.IdleTimeout, TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(10)),
            RequestTimeout = reader.Duration("RequestTimeout", defaults.RequestTimeout, TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(2)),
            ScanInterval = reader.Duration("ScanInterval", defaults.ScanInterval, TimeSpan.FromSeconds(1), TimeSpan.FromHours(1)),
            ScanSlots = (int)reader.Integer("ScanSlots", defaults.ScanSlots, 0, 10_000),
            SettleSlots = (int)reader.Integer("SettleSlots", defaults.SettleSlots, 1, 1_000),
            MaxLagSlots = (int)reader.Integer("MaxLagSlots", defaults.MaxLagSlots, 10, 100_000),
            BlockTimeWait = reader.Duration("BlockTimeWait", defaults.BlockTimeWait, TimeSpan.Zero, TimeSpan.FromMinutes(1)),
            Backfill = reader.Duration("Backfill", defaults.Backfill, TimeSpan.Zero, TimeSpan.FromDays(30)),
            MaxRequests = (int)reader.Integer("MaxRequests", defaults.MaxRequests, 1, 64),
            MaxQueuedFrames = (int)reader.Integer("MaxQueuedFrames", defaults.MaxQueuedFrames, 16, 1_000_000),
        };
        if (reader.Text("StartSlot") is { } text)
        {
            options = options with { StartSlot = reader.Integer("StartSlot", 0, 0, 100_000_000_000) };
            if (options.Backfill > TimeSpan.Zero)
            {
                reader.Refuse("StartSlot", text, "none together with Backfill");
            }
        }

        return options;
    }

    private static ImmutableArray<SolanaEndpoint> ReadEndpoints(SectionReader reader, ImmutableArray<SolanaEndpoint> fallback)
    {
        var section = reader.Child("Endpoints");
        var endpoints = ImmutableArray.CreateBuilder<SolanaEndpoint>();
        foreach (var child in section.GetChildren())
        {
            var one = reader.At(child);
            var http = ReadAddress(one, "Http", "http", "https", "an address such as http://127.0.0.1:8899");
            var socket = ReadAddress(one, "WebSocket", "ws", "wss", "an address such as ws://127.0.0.1:8900");
            var name = one.Text("Name") ?? http?.Authority ?? child.Key;
            if (name.Length > 64 || endpoints.Any(e => string.Equals(e.Name, name, StringComparison.OrdinalIgnoreCase)))
            {
                one.Refuse("Name", name, "a name of its own of at most 64 characters");
            }

            one.RefuseOthers();
            if (http is not null && socket is not null)
            {
                endpoints.Add(new SolanaEndpoint(http, socket, name));
            }
        }

        if (endpoints.Count > MaxEndpoints)
        {
            reader.RefuseAt(section, $"{endpoints.Count} endpoints", $"1 to {MaxEndpoints}");
        }

        return endpoints.Count == 0 ? fallback : endpoints.ToImmutable();
    }

    private static Uri? ReadAddress(SectionReader reader, string key, string scheme, string secure, string allowed)
    {
        if (reader.Text(key) is not { } text)
        {
            reader.Missing(key, allowed);
            return null;
        }

        if (Uri.TryCreate(text, UriKind.Absolute, out var uri) && (uri.Scheme == scheme || uri.Scheme == secure))
        {
            return uri;
        }

        reader.Refuse(key, text, allowed);
        return null;
    }
}

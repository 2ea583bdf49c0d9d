using System.Collections.Immutable;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;
using KlineOrleans.Ingest.Solana.Live;
using Microsoft.Extensions.Configuration;

namespace KlineOrleans.Ingest;

/// <summary>Reads and checks <c>Kline:Sources</c> and what else decides how klines are built: <c>Kline:Intervals</c>, <c>Grace</c>, <c>CorrectionWindow</c>, <c>Compat:WicksIgnoreOpen</c>.</summary>
public static class SourceConfiguration
{
    private const string Section = "Kline";
    private const int MaxNameLength = 64;
    private const double MaxSpeed = 1_000_000;

    /// <summary>The configured sources; one simulation if none is.</summary>
    /// <exception cref="ConfigurationException">Something is not allowed; all of it is named.</exception>
    public static ImmutableArray<SourceOptions> Read(IConfiguration configuration)
    {
        var errors = new List<string>();
        var rules = ReadRules(configuration, errors);
        var sources = new List<SourceOptions>();
        var perKind = new Dictionary<SourceKind, int>();
        foreach (var section in configuration.GetSection($"{Section}:Sources").GetChildren())
        {
            if (ReadSource(new SectionReader(section, errors), rules, perKind) is not { } source)
            {
                continue;
            }

            if (sources.Exists(s => string.Equals(s.Name, source.Name, StringComparison.OrdinalIgnoreCase)))
            {
                errors.Add($"{section.Path}:Name: '{source.Name}' is taken by another source. Allowed: a name of its own.");
            }

            sources.Add(source);
        }

        if (errors.Count > 0)
        {
            throw new ConfigurationException(errors);
        }

        return sources.Count > 0 ? [.. sources] : [ReadDefault(rules)];
    }

    private static SourceOptions ReadDefault(KlineRules rules) => new()
    {
        Kind = SourceKind.Simulation,
        Name = "simulation",
        Rules = rules with { Open = OpenPolicy.PreviousClose, Empty = EmptyPolicy.None },
        Simulation = new SimulationOptions(),
    };

    private static KlineRules ReadRules(IConfiguration configuration, List<string> errors)
    {
        var kline = new SectionReader(configuration.GetSection(Section), errors);
        var compat = new SectionReader(configuration.GetSection("Compat"), errors).Flag("WicksIgnoreOpen", false);
        var klineCompat = new SectionReader(configuration.GetSection($"{Section}:Compat"), errors).Flag("WicksIgnoreOpen", compat);
        var grace = kline.Duration("Grace", new KlineRules().Grace, TimeSpan.Zero, TimeSpan.FromMinutes(1));
        return new KlineRules
        {
            Intervals = ReadIntervals(kline, errors),
            Grace = grace,
            // A trade that a forming kline still waits for cannot be too late to count.
            CorrectionWindow = kline.Duration("CorrectionWindow", new KlineRules().CorrectionWindow, grace, TimeSpan.FromDays(1)),
            WicksIgnoreOpen = klineCompat,
        };
    }

    private static ImmutableArray<KlineInterval> ReadIntervals(SectionReader kline, List<string> errors)
    {
        var section = kline.Child("Intervals");
        var allowed = string.Join(", ", KlineIntervals.All.Select(i => i.Name()));
        var names = section.GetChildren().Select(c => (c.Path, c.Value)).ToList();
        if (names.Count == 0 && !string.IsNullOrWhiteSpace(section.Value))
        {
            names = [.. section.Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(v => (section.Path, (string?)v))];
        }

        var intervals = new SortedSet<KlineInterval>();
        foreach (var (path, name) in names)
        {
            if (!KlineIntervals.TryParse(name?.Trim(), out var interval))
            {
                errors.Add($"{path}: '{name}' is not allowed. Allowed: {allowed}.");
            }
            else if (!intervals.Add(interval))
            {
                errors.Add($"{path}: '{name}' stands there twice. Allowed: each of {allowed} once.");
            }
        }

        return intervals.Count == 0 ? KlineIntervals.All : [.. intervals];
    }

    private static SourceOptions? ReadSource(SectionReader reader, KlineRules rules, Dictionary<SourceKind, int> perKind)
    {
        var hasKind = !string.IsNullOrWhiteSpace(reader.Child("Kind").Value);
        if (reader.Choice<SourceKind>("Kind") is not { } kind)
        {
            if (!hasKind)
            {
                reader.Missing("Kind", string.Join(", ", Enum.GetNames<SourceKind>()));
            }

            // What else is allowed depends on the kind.
            return null;
        }

        var number = perKind[kind] = perKind.GetValueOrDefault(kind) + 1;
        var name = reader.Text("Name") ?? kind.ToString().ToLowerInvariant() + (number > 1 ? $"{number}" : "");
        if (name.Length > MaxNameLength || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.'))
        {
            reader.Refuse("Name", name, $"1 to {MaxNameLength} letters, digits, '-', '_' and '.'");
        }

        var open = reader.Choice<OpenPolicy>("Open");
        var empty = reader.Choice<EmptyPolicy>("Empty");
        var tradesPerUpdate = (int)reader.Integer("TradesPerUpdate", SourceDescription.MaxTradesPerUpdate, 1, SourceDescription.MaxTradesPerUpdate);
        var replay = kind == SourceKind.Replay ? ReadReplay(reader) : null;
        var simulation = kind == SourceKind.Simulation ? ReadSimulation(reader) : null;
        var binance = kind == SourceKind.Binance ? Binance.BinanceConfiguration.Read(reader) : null;
        var solana = kind == SourceKind.Solana ? SolanaConfiguration.Read(reader, programs => ReadProgramList(programs, reader)) : null;
        reader.RefuseOthers();
        var isExchange = binance is not null || replay?.Format is RecordingFormat.BinanceAggTradesCsv or RecordingFormat.BinanceFrames;
        return new SourceOptions
        {
            Kind = kind,
            Name = name,
            Rules = rules with
            {
                Open = open ?? (isExchange ? OpenPolicy.FirstTrade : OpenPolicy.PreviousClose),
                Empty = empty ?? (isExchange ? EmptyPolicy.Flat : EmptyPolicy.None),
            },
            TradesPerUpdate = tradesPerUpdate,
            Replay = replay,
            Simulation = simulation,
            Binance = binance,
            Solana = solana,
        };
    }

    private static ReplayOptions? ReadReplay(SectionReader reader)
    {
        var formats = string.Join(", ", Enum.GetNames<RecordingFormat>());
        var hasFormat = !string.IsNullOrWhiteSpace(reader.Child("Format").Value);
        var format = reader.Choice<RecordingFormat>("Format");
        if (!hasFormat)
        {
            reader.Missing("Format", formats);
        }

        var path = reader.Text("Path");
        if (path is null)
        {
            reader.Missing("Path", "the recording's file");
        }
        else if (!File.Exists(path))
        {
            reader.Refuse("Path", path, "a file that exists (the working folder is " + Environment.CurrentDirectory + ")");
        }

        var symbol = reader.Text("Symbol");
        if (format == RecordingFormat.BinanceAggTradesCsv && symbol is null)
        {
            reader.Missing("Symbol", "the symbol of the recording's trades, as in XRPETH");
        }
        else if (symbol is not null && format is not null && format != RecordingFormat.BinanceAggTradesCsv)
        {
            reader.Refuse("Symbol", symbol, $"none with the format {format}, whose lines name their symbols");
        }
        else if (symbol is { Length: > 64 } || symbol?.Any(c => !char.IsAsciiLetterOrDigit(c) && c is not ('_' or '-' or '.')) == true)
        {
            reader.Refuse("Symbol", symbol, "1 to 64 letters, digits, '-', '_' and '.'");
        }

        var defaults = new ReplayOptions { Format = default, Path = "" };
        var options = defaults with
        {
            Format = format ?? default,
            Path = path ?? "",
            Symbol = symbol ?? "",
            Speed = reader.Number("Speed", defaults.Speed, 0, MaxSpeed),
            Loop = reader.Flag("Loop", defaults.Loop),
            PriceScale = (int)reader.Integer("PriceScale", defaults.PriceScale, 0, 38),
            Anchor = reader.Moment("Anchor", defaults.Anchor),
            Programs = ReadPrograms(reader.Child("Programs"), reader),
        };
        return options;
    }

    private static ProgramCatalog ReadPrograms(IConfigurationSection section, SectionReader parent) =>
        ProgramCatalog.Default.With(ReadProgramList(section, parent));

    private static List<SolanaProgram> ReadProgramList(IConfigurationSection section, SectionReader parent)
    {
        var programs = new List<SolanaProgram>();
        foreach (var child in section.GetChildren())
        {
            var program = child.GetChildren().Any() ? ReadProgram(parent.At(child)) : Shipped(child.Value, parent, child);
            if (program is null)
            {
                continue;
            }

            if (programs.Exists(p => p.Id == program.Id))
            {
                parent.RefuseAt(child, program.Id, "each program once: one deployment has one generation");
                continue;
            }

            programs.Add(program);
        }

        return programs;
    }

    private static SolanaProgram? Shipped(string? name, SectionReader parent, IConfigurationSection at)
    {
        if (name is not null && ProgramCatalog.Shipped.TryGetValue(name.Trim(), out var program))
        {
            return program;
        }

        parent.RefuseAt(at, name ?? "", $"{string.Join(", ", ProgramCatalog.Shipped.Keys)}, or a section with Id, Generation, PriceScale, TokenDecimals, QuoteDecimals");
        return null;
    }

    private static SolanaProgram? ReadProgram(SectionReader reader)
    {
        const string Ids = "a program's address in base58";
        var generations = string.Join(", ", ProgramGeneration.Names);
        var id = reader.Text("Id");
        var name = reader.Text("Generation");
        var generation = name is null ? null : ProgramGeneration.Find(name);
        var isValid = true;
        if (id is null)
        {
            reader.Missing("Id", Ids);
            isValid = false;
        }
        else if (!PublicKey.TryParse(id, out _))
        {
            reader.Refuse("Id", id, Ids);
            isValid = false;
        }

        if (generation is null)
        {
            isValid = false;
            if (name is null)
            {
                reader.Missing("Generation", generations);
            }
            else
            {
                reader.Refuse("Generation", name, generations);
            }
        }

        // What the generation's first deployment has is the best guess for another.
        var like = ProgramCatalog.Shipped.Values.FirstOrDefault(p => p.Generation == generation);
        var scale = (int)reader.Integer("PriceScale", like?.PriceScale ?? 26, 0, 38);
        var token = (int)reader.Integer("TokenDecimals", like?.TokenDecimals ?? 6, 0, 18);
        var quote = (int)reader.Integer("QuoteDecimals", like?.QuoteDecimals ?? 9, 0, 18);
        reader.RefuseOthers();
        return isValid ? new SolanaProgram(id!, generation!, scale, token, quote) : null;
    }

    private static SimulationOptions ReadSimulation(SectionReader reader)
    {
        var defaults = new SimulationOptions();
        return new SimulationOptions
        {
            Mints = (int)reader.Integer("Mints", defaults.Mints, 1, 1_000),
            Seed = reader.Integer("Seed", defaults.Seed, long.MinValue, long.MaxValue),
            TradesPerSecond = reader.Number("TradesPerSecond", defaults.TradesPerSecond, 0, 10_000),
            History = reader.Duration("History", defaults.History, TimeSpan.Zero, TimeSpan.FromDays(7)),
        };
    }
}

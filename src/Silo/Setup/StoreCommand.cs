using System.Diagnostics.CodeAnalysis;
using KlineOrleans.Storage;

namespace KlineOrleans.Silo.Setup;

/// <summary><c>backup FILE</c>, <c>restore FILE</c> and <c>schema</c>, with settings after them as for a server. No server is started.</summary>
internal sealed class StoreCommand
{
    private readonly string _verb;
    private readonly string? _file;

    private StoreCommand(string verb, string? file, string[] settings) => (_verb, _file, Settings) = (verb, file, settings);

    /// <summary>What comes after the command.</summary>
    public string[] Settings { get; }

    /// <summary>What is wrong with the command; null if nothing is.</summary>
    public string? Wrong => _file is null && _verb != "schema" ? $"{_verb}: the file is missing. Allowed: {_verb} FILE [--key value ...]." : null;

    /// <summary>True if the arguments are a command of the store.</summary>
    public static bool TryParse(string[] args, [NotNullWhen(true)] out StoreCommand? command)
    {
        command = args switch
        {
            [("backup" or "restore") and var verb, var file, .. var settings] when !file.StartsWith('-') => new StoreCommand(verb, file, settings),
            [("backup" or "restore" or "schema") and var verb, .. var settings] => new StoreCommand(verb, null, settings),
            _ => null,
        };
        return command is not null;
    }

    /// <summary>Does it and says what was done.</summary>
    public Task<string> Run()
    {
        var configuration = Startup.CreateBuilder(Settings).Configuration;
        return _verb switch
        {
            "backup" => StorageCommands.Backup(configuration, _file!),
            "restore" => StorageCommands.Restore(configuration, _file!),
            _ => MakeTables(configuration),
        };
    }

    /// <summary>Makes the cluster's tables, for servers whose user may not (<c>Kline:Cluster:ApplySchema=false</c>).</summary>
    private static async Task<string> MakeTables(IConfiguration configuration)
    {
        var connectionString = configuration[$"{ClusterSettings.Section}:ConnectionString"] ?? configuration["Kline:Storage:ConnectionString"];
        if (string.IsNullOrEmpty(connectionString))
        {
            throw new Ingest.ConfigurationException([$"{ClusterSettings.Section}:ConnectionString: is missing. Allowed: a connection string of PostgreSQL; that of Kline:Storage serves too."]);
        }

        return await ClusterSchema.Apply(connectionString) ? $"The cluster's tables are at version {ClusterSchema.Version} now." : $"The cluster's tables were at version {ClusterSchema.Version} already.";
    }
}

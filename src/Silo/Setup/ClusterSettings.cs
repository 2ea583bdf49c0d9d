using System.Globalization;
using System.Net;
using KlineOrleans.Ingest;

namespace KlineOrleans.Silo.Setup;

/// <summary>What a process does in its cluster.</summary>
internal enum Role
{
    /// <summary>Everything.</summary>
    All,

    /// <summary>Sources and grains; over HTTP only what operators ask for.</summary>
    Silo,

    /// <summary>What clients see; no source, no grain.</summary>
    Web,
}

/// <summary>How the processes find one another (<c>Kline:Role</c> and the section <c>Kline:Cluster</c>).</summary>
internal sealed class ClusterSettings
{
    public const string Section = "Kline:Cluster";

    private const string RoleKey = "Kline:Role";
    private const string StorageKey = "Kline:Storage";

    public required Role Role { get; init; }

    /// <summary>
    /// Several processes share the database <see cref="ConnectionString"/>. Set by the roles Silo and Web, and for All by <c>Kline:Cluster:Provider=Postgres</c>. Otherwise one process is its
    /// own cluster.
    /// </summary>
    public required bool IsShared { get; init; }

    /// <summary>Where the members of the cluster stand. Default: the database of <c>Kline:Storage</c>.</summary>
    public required string ConnectionString { get; init; }

    /// <summary>Processes of one cluster have the same. Default: <c>kline</c>.</summary>
    public required string ClusterId { get; init; }

    /// <summary>The port silos call one another on. Default: 11111; in a cluster of one process any free one of the loopback.</summary>
    public required int? SiloPort { get; init; }

    /// <summary>The port web processes and other clients call on. Default: 30000; in a cluster of one process any free one of the loopback.</summary>
    public required int? GatewayPort { get; init; }

    /// <summary>The address that others reach this silo at. Default: the first that is not loopback.</summary>
    public required IPAddress? AdvertisedAddress { get; init; }

    /// <summary>Make and migrate the cluster's tables at start. False where a command does it for a user with fewer rights. Default: true.</summary>
    public required bool ApplySchema { get; init; }

    /// <summary>How often streams look for new updates: what an update waits at most on its way to the web processes. 1 to 10 ms; default: 2 ms.</summary>
    public required TimeSpan PollEvery { get; init; }

    /// <summary>Queues of the update streams, spread over the silos; the same in every process. 1 to 256; default: 8.</summary>
    public required int Queues { get; init; }

    /// <summary>A silo that does not answer so long is asked again, and given up after three times. 500 ms to 10 s; default: 2 s.</summary>
    public required TimeSpan ProbeTimeout { get; init; }

    /// <summary>
    /// How long a call to a grain, or an update to a web process, waits for its answer before it counts as lost. What a killed or silent process had in its hands is
    /// sent again after that. 1 s to 1 min; default: 5 s. A cluster of one process has nobody to lose and keeps Orleans' own.
    /// </summary>
    public required TimeSpan CallTimeout { get; init; }

    /// <exception cref="ConfigurationException">A value is not allowed, or this build's engine cannot do it.</exception>
    public static ClusterSettings Read(IConfiguration configuration, bool canShare, string engine)
    {
        var failures = new List<string>();
        var section = configuration.GetSection(Section);
        if (!Enum.TryParse<Role>(configuration[RoleKey] ?? nameof(Role.All), ignoreCase: true, out var role) || !Enum.IsDefined(role) || int.TryParse(configuration[RoleKey], CultureInfo.InvariantCulture, out _))
        {
            failures.Add($"{RoleKey}: '{configuration[RoleKey]}' is not a role. Allowed: All, Silo, Web.");
        }

        var provider = section["Provider"] ?? (role == Role.All ? "Localhost" : "Postgres");
        var isShared = string.Equals(provider, "Postgres", StringComparison.OrdinalIgnoreCase);
        if (!isShared && !string.Equals(provider, "Localhost", StringComparison.OrdinalIgnoreCase))
        {
            failures.Add($"{Section}:Provider: '{provider}' is not a way to cluster. Allowed: Localhost, Postgres.");
        }
        else if (!isShared && role != Role.All)
        {
            failures.Add($"{Section}:Provider: '{provider}' is a cluster of one process. Allowed with {RoleKey} {role}: Postgres.");
        }

        if (isShared && !canShare)
        {
            failures.Add($"{(role == Role.All ? $"{Section}:Provider: 'Postgres'" : $"{RoleKey}: '{role}'")} needs several processes, and this build's engine {engine} is one. Allowed: {(role == Role.All ? "Localhost" : "All")}; build with the packages of Microsoft Orleans for more.");
        }

        var storage = configuration.GetSection(StorageKey);
        var connectionString = section["ConnectionString"] ?? storage["ConnectionString"] ?? "";
        if (isShared && canShare)
        {
            if (!string.Equals(storage["Provider"], "Postgres", StringComparison.OrdinalIgnoreCase))
            {
                failures.Add($"{StorageKey}:Provider: '{storage["Provider"] ?? "Sqlite"}' cannot be shared by the processes of a cluster. Allowed: Postgres.");
            }

            if (connectionString.Length == 0)
            {
                failures.Add($"{Section}:ConnectionString: is missing. Allowed: a connection string of PostgreSQL; that of {StorageKey} serves too.");
            }
        }

        IPAddress? address = null;
        if (section["AdvertisedAddress"] is { Length: > 0 } text && !IPAddress.TryParse(text, out address))
        {
            failures.Add($"{Section}:AdvertisedAddress: '{text}' is not an IP address.");
        }

        var settings = new ClusterSettings
        {
            Role = role,
            IsShared = isShared,
            ConnectionString = connectionString,
            ClusterId = section["ClusterId"] is { Length: > 0 } id ? id : "kline",
            SiloPort = Number("SiloPort", 1, 65_535),
            GatewayPort = Number("GatewayPort", 1, 65_535),
            AdvertisedAddress = address,
            ApplySchema = Flag("ApplySchema", true),
            PollEvery = Time("PollEvery", TimeSpan.FromMilliseconds(2), TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(10)),
            Queues = Number("Queues", 1, 256) ?? 8,
            ProbeTimeout = Time("ProbeTimeout", TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(10)),
            CallTimeout = Time("CallTimeout", TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(1)),
        };
        return failures.Count == 0 ? settings : throw new ConfigurationException(failures);

        int? Number(string key, int least, int most)
        {
            if (section[key] is not { Length: > 0 } value)
            {
                return null;
            }

            if (int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most)
            {
                return number;
            }

            failures.Add($"{Section}:{key}: '{value}' is not allowed. Allowed: {least} to {most}.");
            return null;
        }

        bool Flag(string key, bool byDefault)
        {
            if (section[key] is not { Length: > 0 } value)
            {
                return byDefault;
            }

            if (!bool.TryParse(value, out var flag))
            {
                failures.Add($"{Section}:{key}: '{value}' is not allowed. Allowed: true or false.");
            }

            return flag;
        }

        TimeSpan Time(string key, TimeSpan byDefault, TimeSpan least, TimeSpan most)
        {
            if (section[key] is not { Length: > 0 } value)
            {
                return byDefault;
            }

            if (!TimeSpan.TryParse(value, CultureInfo.InvariantCulture, out var time) || time < least || time > most)
            {
                failures.Add($"{Section}:{key}: '{value}' is not allowed. Allowed: {least} to {most}.");
            }

            return time;
        }
    }
}

using System.Reflection;

namespace KlineOrleans.InProcess.Tests;

/// <summary>Whatever src/InProcess shows in a namespace of Orleans, Orleans shows too: code that compiles here compiles there.</summary>
public sealed class OrleansApiTests(ITestOutputHelper output)
{
    private static readonly string Ours = typeof(Orleans.Grain).Assembly.Location;

    /// <summary>Our types whose real home is an assembly that feeds may lack. All others live in Orleans.Core.Abstractions.</summary>
    private static readonly Dictionary<string, string[]> Homes = new(StringComparer.Ordinal)
    {
        ["Orleans.Serialization.Abstractions"] =
            ["Orleans.GenerateSerializerAttribute", "Orleans.IdAttribute", "Orleans.AliasAttribute", "Orleans.ImmutableAttribute"],
        ["Orleans.Core"] =
            ["Orleans.IClusterClient", "Orleans.IGrainState`1", "Orleans.GrainState`1", "Orleans.Storage.IGrainStorage", "Orleans.Storage.InconsistentStateException"],
        ["Orleans.Runtime"] = ["Orleans.Runtime.IPersistentState`1", "Orleans.Runtime.PersistentStateAttribute"],
        ["Orleans.Streaming"] =
        [
            "Orleans.Runtime.StreamId", "Orleans.Streams.IStreamProvider", "Orleans.Streams.StreamSequenceToken", "Orleans.Streams.IAsyncObserver`1",
            "Orleans.Streams.IAsyncObservable`1", "Orleans.Streams.IAsyncStream", "Orleans.Streams.IAsyncStream`1", "Orleans.Streams.StreamSubscriptionHandle`1",
            "Orleans.Streams.AsyncObservableExtensions", "Orleans.GrainStreamingExtensions", "Orleans.ClientStreamingExtensions",
        ],
    };

    [Fact]
    public void Every_public_type_and_member_of_ours_exists_in_the_real_assemblies()
    {
        var real = new Dictionary<string, ApiType>(StringComparer.Ordinal);
        var absent = new List<string>();
        foreach (var assembly in Homes.Keys.Prepend("Orleans.Core.Abstractions"))
        {
            if (PathOf(assembly) is { } path)
            {
                foreach (var type in OrleansApi.Read(path))
                {
                    real.TryAdd(type.Name, type);
                }
            }
            else
            {
                absent.Add(assembly);
            }
        }

        var homes = Homes.SelectMany(h => h.Value.Select(t => (Type: t, Assembly: h.Key))).ToDictionary(h => h.Type, h => h.Assembly, StringComparer.Ordinal);
        var ours = OurTypes();
        var errors = new List<string>();
        var compared = 0;
        var members = 0;
        foreach (var type in ours)
        {
            if (real.TryGetValue(type.Name, out var counterpart))
            {
                compared++;
                members += type.Members.Count;
                errors.AddRange(Compare(type, counterpart, real));
            }
            else if (homes.TryGetValue(type.Name, out var home) && absent.Contains(home))
            {
                output.WriteLine($"not compared, {home} is not in the package cache: {type.Name}");
            }
            else
            {
                errors.Add($"{type.Name} does not exist in Orleans");
            }
        }

        output.WriteLine($"compared {compared} of {ours.Count} types with {members} members");
        Assert.Empty(errors);
        Assert.True(compared >= 24 && members >= 100, $"Only {compared} types with {members} members were compared.");
        if (absent.Count == 0)
        {
            Assert.Equal(ours.Count, compared);
        }
    }

    [Fact]
    public void Comparison_finds_what_the_real_one_lacks()
    {
        var real = OrleansApi.Read(PathOf("Orleans.Core.Abstractions")!).ToDictionary(t => t.Name, StringComparer.Ordinal);
        var grain = OurTypes().Single(t => t.Name == "Orleans.Grain");
        Assert.Empty(Compare(grain, real[grain.Name], real));
        Assert.Single(Compare(grain with { Members = grain.Members.Add("Public System.Void Invented()") }, real[grain.Name], real));
        Assert.Single(Compare(grain with { Interfaces = grain.Interfaces.Add("System.IDisposable") }, real[grain.Name], real));
        Assert.Single(Compare(grain with { Kind = "class" }, real[grain.Name], real));
        Assert.Single(Compare(grain with { Base = "System.Attribute" }, real[grain.Name], real));
    }

    private static List<ApiType> OurTypes() => [.. OrleansApi.Read(Ours).Where(t => t.Name.StartsWith("Orleans.", StringComparison.Ordinal))];

    private static IEnumerable<string> Compare(ApiType ours, ApiType theirs, Dictionary<string, ApiType> real)
    {
        if (ours.Kind != theirs.Kind)
        {
            yield return $"{ours.Name} is {ours.Kind}; in Orleans {theirs.Kind}";
        }

        if (ours.Base != theirs.Base)
        {
            yield return $"{ours.Name} derives from {ours.Base}; in Orleans from {theirs.Base}";
        }

        var theirInterfaces = InterfacesOf(theirs, real).ToHashSet(StringComparer.Ordinal);
        foreach (var missing in ours.Interfaces.Where(i => !theirInterfaces.Contains(i)))
        {
            yield return $"{ours.Name} implements {missing}; in Orleans it does not";
        }

        var theirMembers = MembersOf(theirs, real).ToHashSet(StringComparer.Ordinal);
        foreach (var missing in ours.Members.Where(m => !theirMembers.Contains(m)))
        {
            yield return $"{ours.Name}: Orleans has no {missing}";
        }
    }

    private static IEnumerable<string> MembersOf(ApiType type, Dictionary<string, ApiType> real) =>
        type.Base is not null && real.TryGetValue(type.Base, out var parent)
            ? type.Members.Concat(MembersOf(parent, real).Where(m => !m.Contains(" .ctor(", StringComparison.Ordinal)))
            : type.Members;

    private static IEnumerable<string> InterfacesOf(ApiType type, Dictionary<string, ApiType> real) =>
        type.Interfaces.Concat(type.Interfaces.SelectMany(i => real.TryGetValue(i.Split('<')[0], out var definition) ? InterfacesOf(definition, real) : []))
            .Concat(type.Base is not null && real.TryGetValue(type.Base, out var parent) ? InterfacesOf(parent, real) : []);

    private static string? PathOf(string assembly)
    {
        var metadata = typeof(OrleansApiTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().ToDictionary(a => a.Key, a => a.Value!, StringComparer.Ordinal);
        var folder = Path.Combine(metadata["PackageCache"], $"microsoft.{assembly.ToLowerInvariant()}", metadata["OrleansVersion"], "lib");
        return new[] { "net10.0", "net8.0" }.Select(f => Path.Combine(folder, f, $"{assembly}.dll")).FirstOrDefault(File.Exists);
    }
}

using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

using KlineOrleans.Testing;

namespace KlineOrleans.Silo.Tests;

/// <summary>Who may know whom (DESIGN, "Rooms"): read from the compiled references, so that a new arrow has a name and a failing test.</summary>
public class ArchitectureTests
{
    private static readonly Dictionary<string, string[]> Allowed = new(StringComparer.Ordinal)
    {
        ["InProcess"] = [],
        ["Protocol"] = [],
        ["Contracts"] = ["InProcess"],
        ["Grains"] = ["Contracts", "InProcess"],
        ["Ingest"] = ["Contracts", "InProcess"],
        ["Storage"] = ["Contracts", "InProcess"],
        ["Web"] = ["Contracts", "Protocol", "InProcess"],
        ["Cli"] = ["Contracts", "Grains", "Ingest", "Storage", "InProcess"],
        ["Silo"] = ["Contracts", "Grains", "Ingest", "Storage", "Web", "InProcess"],
    };

    // A build on Microsoft Orleans has no room of its own for the engine.
    public static TheoryData<string> Rooms => [.. Allowed.Keys.Where(room => room != "InProcess" || TestEngine.EngineName == room)];

    [Theory]
    [MemberData(nameof(Rooms))]
    public void A_room_references_only_the_rooms_it_may_know(string room)
    {
        var found = References(room).Where(r => r.StartsWith("KlineOrleans.", StringComparison.Ordinal)).Select(r => r["KlineOrleans.".Length..]);

        Assert.Empty(found.Except(Allowed[room]).Select(to => $"{room} -> {to}"));
    }

    [Fact]
    public void Every_project_of_src_is_a_known_room()
    {
        var projects = Directory.GetDirectories(Path.Combine(Testing.RecordedData.RepositoryRoot, "src")).Select(Path.GetFileName);

        Assert.Equal(Allowed.Keys.Order(), projects.Order()!);
    }

    [Fact]
    public void Protocol_references_nothing_but_the_base_library()
    {
        var found = References("Protocol").Where(r => !r.StartsWith("System.", StringComparison.Ordinal));

        Assert.Empty(found);
    }

    [Fact]
    public void Types_of_the_grain_engine_that_rooms_use_are_of_the_Orleans_API()
    {
        // Grains, contracts, storage and web see the engine through the Orleans namespaces only; its own namespace is for hosting.
        foreach (var room in new[] { "Contracts", "Grains", "Ingest", "Storage", "Web" })
        {
            using var file = new PEReader(File.OpenRead(PathOf(room)));
            var reader = file.GetMetadataReader();
            var own = reader.TypeReferences.Select(reader.GetTypeReference).Select(t => reader.GetString(t.Namespace)).Where(n => n.StartsWith("KlineOrleans.InProcess", StringComparison.Ordinal));
            Assert.Empty(own.Select(n => $"{room} uses {n}"));
        }
    }

    private static IEnumerable<string> References(string room)
    {
        using var file = new PEReader(File.OpenRead(PathOf(room)));
        var reader = file.GetMetadataReader();
        return [.. reader.AssemblyReferences.Select(r => reader.GetString(reader.GetAssemblyReference(r).Name))];
    }

    private static string PathOf(string room) => Path.Combine(AppContext.BaseDirectory, $"KlineOrleans.{room}.dll");
}

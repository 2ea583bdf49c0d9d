using System.Text.Json;
using System.Text.RegularExpressions;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Web.Tests.Transports.Klines;

/// <summary>The frames of tests/Frames, replayed to the server byte for byte; and the pages of docs/wire, which may quote no others.</summary>
public sealed partial class WireFrameTests
{
    private static readonly DateTimeOffset Start = TestKlines.Start;

    public static TheoryData<string> Files => [.. Directory.GetFiles(Folder("tests", "Frames"), "*.json").Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Files))]
    public async Task Recorded_frames_are_what_the_server_says(string file)
    {
        using var record = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(Folder("tests", "Frames"), file)));
        await using var host = await WebHost.Start(time: new ManualTimeProvider());
        var mint = host.Cluster.Mint(WebHost.Mint);
        mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start.AddMinutes(-1), 1, 3, isFinal: true));
        await host.Events.Emit(TestChainEvents.Event(1));
        var path = record.RootElement.GetProperty("path").GetString()!;
        var query = record.RootElement.TryGetProperty("query", out var q) ? q.GetString()! : "";
        await using var client = new PlainWire(await EventWire.Dial(host, path, query));
        client.StartReading();
        foreach (var step in record.RootElement.GetProperty("steps").EnumerateArray())
        {
            var property = step.EnumerateObject().Single();
            var text = property.Value.GetString()!;
            switch (property.Name)
            {
                case "send":
                    await client.SendText(text);
                    break;
                case "receive":
                    Assert.Equal(text, Ids().Replace(await client.Text(), "$1ID\""));
                    break;
                case "trade":
                    host.Cluster.Deliver(mint.Change(Start.AddSeconds(5), TestKlines.Make(KlineInterval.M1, Start, 1.5m, 2, isFinal: text == "final")));
                    break;
                case "event":
                    await host.Events.Emit(TestChainEvents.Event(int.Parse(text, System.Globalization.CultureInfo.InvariantCulture)));
                    break;
                default:
                    Assert.Fail(property.Name);
                    break;
            }
        }
    }

    [Fact]
    public void Pages_quote_recorded_frames_only()
    {
        HashSet<string> known = [];
        foreach (var file in Directory.GetFiles(Folder("tests", "Frames"), "*.json"))
        {
            using var record = JsonDocument.Parse(File.ReadAllText(file));
            foreach (var step in record.RootElement.GetProperty("steps").EnumerateArray())
            {
                known.Add(step.EnumerateObject().Single().Value.GetString()!);
            }
        }

        var quoted = 0;
        foreach (var page in Directory.GetFiles(Folder("docs", "wire"), "*.md"))
        {
            var inside = false;
            foreach (var line in File.ReadLines(page))
            {
                if (line.StartsWith("```", StringComparison.Ordinal))
                {
                    inside = line == "```frames";
                }
                else if (inside)
                {
                    quoted++;
                    Assert.True(known.Contains(line[2..]), $"{Path.GetFileName(page)} quotes a frame that is not in tests/Frames: {line}");
                }
            }
        }

        Assert.True(quoted > 10);
    }

    private static string Folder(params string[] parts)
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "KlineOrleans.sln")))
        {
            folder = folder.Parent!;
        }

        return Path.Combine([folder.FullName, .. parts]);
    }

    // What is random: ids that the server makes.
    [GeneratedRegex("(\"(?:sid|client_id|clientId)\":\")[^\"]*\"")]
    private static partial Regex Ids();

    private sealed class PlainWire(System.Net.WebSockets.ClientWebSocket socket) : EventWire(socket)
    {
        public override Task Request(string name, string payload) => SendText(payload);

        protected override (string Name, JsonElement Data) Read(string text) => ("", Parse(text));
    }
}

using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Web.Tests;

/// <summary>The exchanges of docs/wire/http.md, each asked of the server and compared byte for byte with what the page says.</summary>
/// <remarks>In a block, <c>&gt;</c> is the client and <c>&lt;</c> the server; a body that ends in <c>...</c> goes on. <c>KLINE_WRITE_PAGES=1</c> writes what the server answers into the page instead.</remarks>
public sealed partial class HttpPageTests
{
    private static readonly string PagePath = Path.Combine(RecordedData.RepositoryRoot, "docs", "wire", "http.md");

    [Fact]
    public async Task Page_says_what_the_server_answers()
    {
        await using var open = await WebHost.Start(new() { ["Kline:Web:AllowedOrigins:0"] = "https://chart.example" }, time: new ManualTimeProvider(TestKlines.Start.AddSeconds(5)));
        await using var closed = await AccessHost.Start(time: new ManualTimeProvider(TestKlines.Start.AddSeconds(5)));
        await Fill(open);
        await Fill(closed.Web);
        var lines = await File.ReadAllLinesAsync(PagePath);
        List<string> written = [];
        List<string> wrong = [];
        var exchanges = 0;
        for (var i = 0; i < lines.Length; i++)
        {
            written.Add(lines[i]);
            if (!lines[i].StartsWith("```http", StringComparison.Ordinal))
            {
                continue;
            }

            var host = lines[i] == "```http keys" ? closed.Web : open;
            for (i++; lines[i] != "```";)
            {
                var asked = Take(lines, ref i, static line => line.StartsWith("> ", StringComparison.Ordinal));
                var told = Take(lines, ref i, static line => line != "```" && !line.StartsWith("> ", StringComparison.Ordinal));
                var answered = await Ask(host, asked, told);
                exchanges++;
                written.AddRange(asked);
                written.AddRange(answered);
                if (!told.SequenceEqual(answered, StringComparer.Ordinal))
                {
                    wrong.Add($"{string.Join('\n', asked)}\nthe page:\n{string.Join('\n', told)}\nthe server:\n{string.Join('\n', answered)}");
                }
            }

            written.Add(lines[i]);
        }

        if (Environment.GetEnvironmentVariable("KLINE_WRITE_PAGES") == "1")
        {
            await File.WriteAllLinesAsync(PagePath, written, new UTF8Encoding(false));
        }

        Assert.True(wrong.Count == 0, string.Join("\n\n", wrong));
        Assert.True(exchanges > 20);
    }

    private static async Task Fill(WebHost host)
    {
        var start = TestKlines.Start;
        host.Cluster.Mint(WebHost.Mint).Change(
            start.AddSeconds(5),
            TestKlines.Make(KlineInterval.M1, start.AddMinutes(-2), 1.25m, 2, isFinal: true),
            TestKlines.Make(KlineInterval.M1, start.AddMinutes(-1), 1, 3, isFinal: true),
            TestKlines.Make(KlineInterval.M1, start, 1.5m, 2));
        await host.Archive.PutSymbol(new SymbolInfo(WebHost.Mint, "Mint One", "test", start.AddMinutes(-2)));
    }

    private static List<string> Take(string[] lines, ref int i, Func<string, bool> wanted)
    {
        List<string> taken = [];
        while (wanted(lines[i]))
        {
            taken.Add(lines[i++]);
        }

        return taken;
    }

    private static async Task<List<string>> Ask(WebHost host, List<string> asked, List<string> told)
    {
        var first = asked[0][2..].Split(' ');
        using var request = new HttpRequestMessage(new HttpMethod(first[0]), first[1]);
        foreach (var line in asked.Skip(1))
        {
            if (line.StartsWith("> {", StringComparison.Ordinal))
            {
                request.Content = new StringContent(line[2..], Encoding.UTF8, "application/json");
            }
            else
            {
                var (name, value) = (line[2..line.IndexOf(':', StringComparison.Ordinal)], line[(line.IndexOf(':', StringComparison.Ordinal) + 2)..]);
                request.Headers.TryAddWithoutValidation(name, value);
            }
        }

        using var response = await host.Http.SendAsync(request);
        List<string> answered = [string.Create(CultureInfo.InvariantCulture, $"< {(int)response.StatusCode} {response.Content.Headers.ContentType}").TrimEnd()];

        // The headers that the page names.
        foreach (var line in told.Skip(1).TakeWhile(static line => line.StartsWith("< ", StringComparison.Ordinal)))
        {
            var name = line[2..line.IndexOf(':', StringComparison.Ordinal)];
            var values = response.Headers.TryGetValues(name, out var found) || response.Content.Headers.TryGetValues(name, out found) ? string.Join(", ", found) : "(none)";
            answered.Add($"< {name}: {values}");
        }

        var body = Memory().Replace(Token().Replace(await response.Content.ReadAsStringAsync(), "\"token\":\"TOKEN\""), "\"memory_usage\":123456789");
        var shown = told.SkipWhile(static line => line.StartsWith("< ", StringComparison.Ordinal)).ToList();
        if (shown is [.., var last] && last.EndsWith("...", StringComparison.Ordinal))
        {
            // The page shows the beginning.
            var text = string.Join('\n', shown);
            body = body.Length > text.Length - 3 ? body[..(text.Length - 3)] + "..." : body;
        }

        if (body.Length > 0)
        {
            answered.AddRange(body.TrimEnd('\n').Split('\n'));
        }

        return answered;
    }

    // What differs from one run to the next.
    [GeneratedRegex("\"token\":\"[^\"]*\"")]
    private static partial Regex Token();

    [GeneratedRegex("\"memory_usage\":\\d+")]
    private static partial Regex Memory();
}

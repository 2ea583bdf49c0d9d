using System.Reflection;

namespace KlineOrleans.Interop.Tests;

/// <summary>The Socket.IO server in another application: what its page says is what runs.</summary>
public sealed class ChatTests
{
    [Theory]
    [InlineData("polling")]
    [InlineData("websocket")]
    [InlineData("default")]
    public async Task Another_application_has_namespaces_rooms_acknowledgements_and_binary_events(string mode)
    {
        var whyNot = await NodeClients.WhyNotAsync();
        Assert.SkipWhen(whyNot is not null, whyNot ?? "");
        await using var server = await ChatServer.StartAsync();
        var (code, output) = await NodeClients.RunAsync("chat.mjs", server.Urls.First(), mode);
        Assert.True(code == 0, output);
        Assert.Contains("all ok", output, StringComparison.Ordinal);
    }

    [Fact]
    public void The_page_shows_the_program_that_is_tested()
    {
        var root = typeof(ChatTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "RepositoryRoot").Value!;
        var program = Between(Path.Combine(root, "tests", "Interop.Tests", "ChatServer.cs"), "// <example>", "// </example>");
        var page = Between(Path.Combine(root, "docs", "wire", "socketio-server.md"), "```csharp", "```");
        Assert.NotEmpty(program);
        Assert.Equal(program, page);

        static string[] Between(string file, string from, string to) =>
            [.. File.ReadLines(file).SkipWhile(line => line.Trim() != from).Skip(1).TakeWhile(line => line.Trim() != to).Select(static line => line.Trim())];
    }
}

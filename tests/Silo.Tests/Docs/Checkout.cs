using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using KlineOrleans.Testing;

namespace KlineOrleans.Silo.Tests.Docs;

/// <summary>A folder that looks like a checkout, in which commands of the pages run as they are written: ./run and ./kline are the programs that the tests were built with, so that nothing is built twice.</summary>
/// <remarks>Servers listen on ports of their own; where a command says the port of the page, it gets theirs.</remarks>
internal sealed partial class Checkout : IAsyncDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly TemporaryFolder _folder = new();
    private readonly List<Running> _running = [];
    private readonly Dictionary<string, string> _ports = new(StringComparer.Ordinal);
    private Running? _server;

    public Checkout()
    {
        Root = Directory.CreateDirectory(_folder["repository"]).FullName;
        Script("run", $$"""
            case "${1:-}" in
              backup | restore | help | --help | health) exec dotnet '{{ServerProcess.ProgramPath}}' "$@" ;;
              *) exec dotnet '{{ServerProcess.ProgramPath}}' --Kline:Web:PagePath='{{Repository("src", "Web", "wwwroot")}}' "$@" ;;
            esac
            """);
        Script("kline", $"exec dotnet '{Program("src", "Cli", "KlineOrleans.Cli.dll")}' \"$@\"");

        // What a page starts with dotnet run is built already.
        Directory.CreateDirectory(Path.Combine(Root, "bin"));
        Script(Path.Combine("bin", "dotnet"), $$"""
            real=$(PATH=${PATH#*:} command -v dotnet)
            if [ "${1:-} ${2:-}" = 'run --project' ]; then
              case "$3" in
                tests/Testing.Venue) program='{{Program("tests", "Testing.Venue", "KlineOrleans.Testing.Venue.dll")}}' ;;
                tests/Testing.Node) program='{{Program("tests", "Testing.Node", "KlineOrleans.Testing.Node.dll")}}' ;;
                samples/Live) program='{{Program("samples", "Live", "KlineOrleans.Samples.Live.dll")}}' ;;
                *) echo "$3 is not one that a page starts" >&2; exit 1 ;;
              esac
              shift 3
              if [ "${1:-}" = -- ]; then shift; fi
              exec "$real" "$program" "$@"
            fi
            exec "$real" "$@"
            """);
        Directory.CreateDirectory(Path.Combine(Root, "src", "Web", "ClientApp"));
        Link(Path.Combine(Root, "src", "Web", "ClientApp", "node_modules"), Repository("src", "Web", "ClientApp", "node_modules"));
        Link(Path.Combine(Root, "docs"), Repository("docs"));
        Link(_folder["shared"], RecordedData.Exists ? Path.GetDirectoryName(RecordedData.PathOf("x"))! : "", "data");
    }

    public string Root { get; }

    /// <summary>Starts what goes on until it is stopped, and waits until it says that it is ready. A server takes the place of the one before, which is stopped.</summary>
    public async Task StartLong(string command, string name)
    {
        var isServer = command.StartsWith("./run", StringComparison.Ordinal);
        if (isServer)
        {
            await StopServer();
        }

        var running = Launch(Fixed().Replace(Here(command), m => $"{m.Groups["before"].Value}0"));
        _running.Add(running);
        if (isServer)
        {
            _server = running;
            var address = await running.Until(Listening(), name);
            _ports["127.0.0.1:8080"] = new Uri(address).Authority;
            Assert.True(await Running.Answers(address), name);
        }
        else if (Fixed().Match(command) is { Success: true } wanted)
        {
            _ports[$"127.0.0.1:{wanted.Groups["port"].Value}"] = new Uri(await running.Until(Address(), name)).Authority;
        }
        else
        {
            await running.Until(text => text.Contains('\n', StringComparison.Ordinal), name);
        }
    }

    /// <summary>Runs a command to its end. Returns what it wrote.</summary>
    public async Task<(int ExitCode, string Output)> Run(string command)
    {
        await using var running = Launch(Here(command));
        return (await running.End(), running.Output);
    }

    /// <summary>Waits until every source of the server has caught up: then the history that was asked for is all there.</summary>
    public async Task UntilLive()
    {
        var (code, output) = await Run("for i in $(seq 300); do h=$(curl -s http://127.0.0.1:8080/health); case $h in *'\"state\":\"backfilling\"'*|*'\"state\":\"starting\"'*) ;; *'\"state\":\"live\"'*) exit 0 ;; esac; sleep 0.2; done; echo \"$h\"; exit 1");
        Assert.True(code == 0, $"The server has not caught up: {output}");
    }

    /// <summary>Starts what follows a server for ever, waits for the first of what it writes, and ends it.</summary>
    public Task Watch(string command, string name) => WatchUntil(command, name, text => text.Contains('\n', StringComparison.Ordinal));

    /// <inheritdoc cref="Watch"/>
    public async Task WatchUntil(string command, string name, Func<string, bool> wanted)
    {
        await using var running = Launch(Here(command));
        await running.Until(wanted, name);
    }

    /// <summary>A text with the ports of this checkout's servers.</summary>
    public string Here(string text) => _ports.Aggregate(text, (t, p) => t.Replace(p.Key, p.Value, StringComparison.Ordinal));

    /// <summary>Stops the server as an operator does. It must end by itself and say that all is saved.</summary>
    public async Task StopServer()
    {
        if (_server is { } server)
        {
            _server = null;
            _ports.Remove("127.0.0.1:8080");
            server.Terminate();
            Assert.True(await server.End() == 0, server.Output);
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var running in _running)
        {
            await running.DisposeAsync();
        }

        _folder.Dispose();
    }

    /// <summary>The program that was built as this test was.</summary>
    public static string Program(string room, string project, string name)
    {
        var output = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        var bin = output.Parent!.Parent!.Name == "bin" ? "bin" : Path.Combine("bin", output.Parent.Parent.Name);
        return Repository(room, project, bin, output.Parent.Name, output.Name, name);
    }

    public static string Repository(params string[] parts) => Path.Combine([RecordedData.RepositoryRoot, .. parts]);

    private Running Launch(string command)
    {
        var start = new ProcessStartInfo("bash", ["-c", command]) { WorkingDirectory = Root, RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, UseShellExecute = false };
        start.Environment["PATH"] = Path.Combine(Root, "bin") + ":" + start.Environment["PATH"];
        start.Environment["urls"] = "http://127.0.0.1:0";
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        if (_ports.TryGetValue("127.0.0.1:8080", out var server))
        {
            start.Environment["KLINE_SERVER"] = $"http://{server}";
        }

        return new Running(Process.Start(start)!);
    }

    private void Script(string name, string text)
    {
        var path = Path.Combine(Root, name);
        File.WriteAllText(path, $"#!/usr/bin/env bash\n{text}\n");
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }

    private static void Link(string path, string target, string? below = null)
    {
        if (Directory.Exists(target))
        {
            Directory.CreateSymbolicLink(below is null ? path : Path.Combine(Directory.CreateDirectory(path).FullName, below), target);
        }
    }

    [GeneratedRegex(@"KlineOrleans listens on (?<value>http://\S+)", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex Listening();

    [GeneratedRegex(@"(?<value>http://127\.0\.0\.1:[1-9][0-9]*)", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex Address();

    // The port at which a page has the made-up node or exchange listen.
    [GeneratedRegex(@"(?<before>--port |--Address http://127\.0\.0\.1:)(?<port>[0-9]+)", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex Fixed();

    /// <summary>A command that runs, and what it has written so far. Thread safe.</summary>
    private sealed class Running : IAsyncDisposable
    {
        private readonly Process _process;
        private readonly StringBuilder _output = new();
        private readonly Lock _lock = new();
        private TaskCompletionSource _more = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _open = 2;

        public Running(Process process)
        {
            _process = process;
            process.OutputDataReceived += (_, line) => Keep(line.Data);
            process.ErrorDataReceived += (_, line) => Keep(line.Data);
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
        }

        public string Output
        {
            get
            {
                lock (_lock)
                {
                    return _output.ToString();
                }
            }
        }

        public static async Task<bool> Answers(string address)
        {
            using var http = new HttpClient { Timeout = Patience };
            using var answer = await http.GetAsync(new Uri(address + "/health/live"));
            return answer.IsSuccessStatusCode;
        }

        public async Task<string> Until(Regex wanted, string name)
        {
            await Until(text => wanted.IsMatch(text), name);
            return wanted.Match(Output).Groups["value"].Value;
        }

        public async Task Until(Func<string, bool> wanted, string name)
        {
            using var patience = new CancellationTokenSource(Patience, TimeProvider.System);
            while (true)
            {
                Task more;
                bool hasEnded;
                lock (_lock)
                {
                    (more, hasEnded) = (_more.Task, _open == 0);
                }

                if (wanted(Output))
                {
                    return;
                }

                if (hasEnded)
                {
                    throw new InvalidOperationException($"{name} ended:\n{Output}");
                }

                try
                {
                    await more.WaitAsync(patience.Token);
                }
                catch (OperationCanceledException late)
                {
                    throw new TimeoutException($"{name} has said no more than:\n{Output}", late);
                }
            }
        }

        public async Task<int> End()
        {
            using var patience = new CancellationTokenSource(Patience, TimeProvider.System);
            try
            {
                await _process.WaitForExitAsync(patience.Token);
            }
            catch (OperationCanceledException late)
            {
                throw new TimeoutException($"It does not end:\n{Output}", late);
            }

            return _process.ExitCode;
        }

        public void Terminate()
        {
            using var kill = Process.Start("kill", ["-TERM", $"{_process.Id}"]);
            kill.WaitForExit();
        }

        public async ValueTask DisposeAsync()
        {
            if (!_process.HasExited)
            {
                _process.Kill(entireProcessTree: true);
                await _process.WaitForExitAsync();
            }

            _process.Dispose();
        }

        private void Keep(string? line)
        {
            lock (_lock)
            {
                if (line is null)
                {
                    _open--;
                }
                else
                {
                    _output.Append(line).Append('\n');
                }

                _more.TrySetResult();
                _more = new(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }
    }
}

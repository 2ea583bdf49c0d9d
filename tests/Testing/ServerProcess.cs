using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Http.Json;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace KlineOrleans.Testing;

/// <summary>The real server in a process of its own, on a free loopback port unless its settings name one. Killed when disposed.</summary>
public sealed partial class ServerProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly List<(string Text, int Times, TaskCompletionSource Done)> _awaited = [];

    private ServerProcess(Process process, Uri? address)
    {
        _process = process;
        Listen(address);
        process.OutputDataReceived += (_, line) => Keep(line.Data);
        process.ErrorDataReceived += (_, line) => Keep(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public Uri Address { get; private set; }

    public HttpClient Http { get; private set; }

    /// <summary>Standard output and error so far.</summary>
    public string Output
    {
        get
        {
            lock (_output)
            {
                return _output.ToString();
            }
        }
    }

    /// <summary>How many lines of <see cref="Output"/> have <paramref name="text"/> in them.</summary>
    public int TimesSaid(string text)
    {
        lock (_output)
        {
            return _output.ToString().Split(text).Length - 1;
        }
    }

    /// <summary>Completes once the process has said <paramref name="text"/> in so many lines, from its start. Never, if it ends without.</summary>
    public Task Says(string text, int times = 1)
    {
        lock (_output)
        {
            if (TimesSaid(text) >= times)
            {
                return Task.CompletedTask;
            }

            var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _awaited.Add((text, times, done));
            return done.Task;
        }
    }

    /// <summary>Whether the program was built: it is when the solution was.</summary>
    public static string ProgramPath { get; } = FindProgram();

    /// <summary>Starts the server with settings as on the command line, and waits until it answers.</summary>
    public static async Task<ServerProcess> Start(params string[] settings)
    {
        var server = Launch(settings);
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            if (server._process.HasExited)
            {
                await server._process.WaitForExitAsync().WaitAsync(Patience);
                throw new InvalidOperationException($"The server ended with code {server._process.ExitCode}:\n{server.Output}");
            }

            // It names the port that it got; one chosen before could be somebody else's by then, and so could the answers on it.
            if (Listening().Match(server.Output) is { Success: true } listening)
            {
                server.Listen(new Uri(listening.Groups["address"].Value));
                using var answer = await server.Http.GetAsync(new Uri("/health/live", UriKind.Relative));
                if (answer.StatusCode == HttpStatusCode.OK)
                {
                    return server;
                }
            }

            if (Stopwatch.GetElapsedTime(started) > Patience)
            {
                await server.DisposeAsync();
                throw new TimeoutException($"The server did not answer:\n{server.Output}");
            }

            await Pause();
        }
    }

    /// <summary>Starts a server that is expected to end by itself, and waits for its end.</summary>
    public static async Task<(int ExitCode, string Output)> RunToEnd(params string[] settings)
    {
        await using var server = Launch(settings);
        using var patience = new CancellationTokenSource(Patience);
        await server._process.WaitForExitAsync(patience.Token);
        return (server._process.ExitCode, server.Output);
    }

    /// <summary>Runs a command of the store (backup, restore), with settings as on the command line, and waits for its end.</summary>
    public static async Task<(int ExitCode, string Output)> RunStoreCommand(string verb, string? file, string[] settings)
    {
        await using var server = Launch(settings, file is null ? [verb] : [verb, file]);
        using var patience = new CancellationTokenSource(Patience);
        await server._process.WaitForExitAsync(patience.Token);
        return (server._process.ExitCode, server.Output);
    }

    /// <summary>Polls an answer of the server until it is as wanted.</summary>
    public async Task<JsonElement> WaitFor(string path, Func<JsonElement, bool> wanted, TimeSpan? patience = null)
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            var answer = await Get(path);
            if (wanted(answer))
            {
                return answer;
            }

            if (Stopwatch.GetElapsedTime(started) > (patience ?? Patience))
            {
                throw new TimeoutException($"{path} still answers {answer}.\n{Output}");
            }

            await Pause();
        }
    }

    /// <summary>Waits until the first source has played its recording to the end and saved it.</summary>
    public Task<JsonElement> WaitForEnd(TimeSpan? patience = null) => WaitFor(
        "/health",
        health => health.GetProperty("sources") is { } sources && sources.GetArrayLength() > 0 && sources[0].TryGetProperty("state", out var state) && state.GetString() == "ended",
        patience);

    public async Task<JsonElement> Get(string path)
    {
        using var answer = await Http.GetAsync(new Uri(path, UriKind.Relative));
        return await answer.Content.ReadFromJsonAsync<JsonElement>();
    }

    /// <summary>All klines of a query, page by page.</summary>
    /// <param name="exact">Prices and volumes as decimal strings instead of numbers.</param>
    public async Task<List<JsonElement>> GetKlines(string symbol, string interval, long from, long to, bool exact = true)
    {
        var result = new List<JsonElement>();
        var query = $"/api/v1/klines/{symbol}/{interval}?from={from}&to={to}&limit=1000&exact={(exact ? "true" : "false")}";
        var cursor = "";
        while (true)
        {
            var page = await Get(query + cursor);
            result.AddRange(page.GetProperty("klines").EnumerateArray());
            if (page.GetProperty("next").GetString() is not { } next)
            {
                return result;
            }

            cursor = $"&cursor={Uri.EscapeDataString(next)}";
        }
    }

    /// <summary>Ends the process as a crash does: no handler of it runs.</summary>
    public async Task Kill()
    {
        _process.Kill();
        await _process.WaitForExitAsync().WaitAsync(Patience);
    }

    /// <summary>Stops the process where it stands (SIGSTOP): its connections stay open and it answers nothing.</summary>
    public void Suspend() => _ = SendSignal(_process.Id, 19);

    /// <summary>Lets a suspended process go on (SIGCONT).</summary>
    public void Resume() => _ = SendSignal(_process.Id, 18);

    /// <summary>Completes when the process has ended, by itself or otherwise. Returns its exit code.</summary>
    public async Task<int> Ended(CancellationToken cancellation)
    {
        await _process.WaitForExitAsync(cancellation);
        return _process.ExitCode;
    }

    /// <summary>Asks the process to stop (SIGTERM) and waits. Returns its exit code.</summary>
    public async Task<int> Terminate()
    {
        _ = SendSignal(_process.Id, 15);
        using var patience = new CancellationTokenSource(Patience);
        await _process.WaitForExitAsync(patience.Token);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            await Kill();
        }

        Http.Dispose();
        _process.Dispose();
    }

    private static ServerProcess Launch(string[] settings, params ReadOnlySpan<string> command)
    {
        var given = Array.IndexOf(settings, "--urls");
        var start = new ProcessStartInfo("dotnet")
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        // A process that is killed would leave its diagnostic sockets in the temporary folder.
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        start.ArgumentList.Add(ProgramPath);
        foreach (var part in command)
        {
            start.ArgumentList.Add(part);
        }

        if (given < 0)
        {
            start.ArgumentList.Add("--urls");
            start.ArgumentList.Add("http://127.0.0.1:0");
        }

        foreach (var setting in settings)
        {
            start.ArgumentList.Add(setting);
        }

        return new ServerProcess(Process.Start(start)!, given >= 0 && Uri.TryCreate(settings[given + 1], UriKind.Absolute, out var address) ? address : null);
    }

    [MemberNotNull(nameof(Address), nameof(Http))]
    private void Listen(Uri? address)
    {
        Http?.Dispose();
        Address = address ?? new Uri("http://127.0.0.1:0");
        Http = new HttpClient { BaseAddress = Address, Timeout = Patience };
    }

    [GeneratedRegex(@"KlineOrleans listens on (?<address>http://\S+)", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex Listening();

    private static string FindProgram()
    {
        // The test runs from .../bin[/orleans]/<configuration>/net10.0; the server was built the same way.
        var output = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        var configuration = output.Parent!;
        var bin = configuration.Parent!.Name == "bin" ? "bin" : Path.Combine("bin", configuration.Parent.Name);
        return Path.Combine(RecordedData.RepositoryRoot, "src", "Silo", bin, configuration.Name, output.Name, "KlineOrleans.Silo.dll");
    }

    // Between two looks at another process there is nothing to wait for but time.
    private static Task Pause() => Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System);

    private void Keep(string? line)
    {
        if (line is not null)
        {
            lock (_output)
            {
                _output.AppendLine(line);
                _awaited.RemoveAll(a => line.Contains(a.Text, StringComparison.Ordinal) && TimesSaid(a.Text) >= a.Times && a.Done.TrySetResult());
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int SendSignal(int process, int signal);
}

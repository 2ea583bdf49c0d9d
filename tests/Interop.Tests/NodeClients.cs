using System.Diagnostics;
using System.Reflection;
using System.Text;

namespace KlineOrleans.Interop.Tests;

/// <summary>The npm clients beside this file: installed once from their lock file, then run by node.</summary>
internal static class NodeClients
{
    private static readonly string Folder = Path.Combine(
        typeof(NodeClients).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "RepositoryRoot").Value!,
        "tests", "Interop.Tests", "clients");

    private static readonly Lazy<Task<string?>> Installed = new(InstallAsync);

    /// <summary>Why the clients cannot run on this machine, or null.</summary>
    public static Task<string?> WhyNotAsync() => Installed.Value;

    /// <summary>Runs a script to its end.</summary>
    public static async Task<(int ExitCode, string Output)> RunAsync(string script, params string[] arguments) =>
        await StartAsync("node", [script, .. arguments], TimeSpan.FromSeconds(90));

    private static async Task<string?> InstallAsync()
    {
        try
        {
            if ((await StartAsync("node", ["--version"], TimeSpan.FromSeconds(20))).ExitCode != 0)
                return "node does not run on this machine";

            var mark = new FileInfo(Path.Combine(Folder, "node_modules", ".package-lock.json"));
            if (mark.Exists && mark.LastWriteTimeUtc >= File.GetLastWriteTimeUtc(Path.Combine(Folder, "package-lock.json")))
                return null;

            var (code, output) = await StartAsync("npm", ["ci", "--no-audit", "--no-fund"], TimeSpan.FromMinutes(3));
            return code == 0 ? null : $"npm ci failed: {output.Trim().Split('\n')[^1]}";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "node and npm are not on this machine";
        }
        catch (OperationCanceledException)
        {
            return "npm ci did not end in time";
        }
    }

    private static async Task<(int ExitCode, string Output)> StartAsync(string program, string[] arguments, TimeSpan limit)
    {
        using var process = new Process();
        process.StartInfo = new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = Folder,
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        var output = new StringBuilder();
        process.OutputDataReceived += Take;
        process.ErrorDataReceived += Take;
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        using var cancellation = new CancellationTokenSource(limit, TimeProvider.System);
        try
        {
            await process.WaitForExitAsync(cancellation.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }

        lock (output)
            return (process.ExitCode, output.ToString());

        void Take(object sender, DataReceivedEventArgs e)
        {
            lock (output)
                output.AppendLine(e.Data);
        }
    }
}

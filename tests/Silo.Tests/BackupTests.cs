using System.Diagnostics;
using KlineOrleans.Testing;
using Npgsql;

namespace KlineOrleans.Silo.Tests;

/// <summary>A server that starts on a restored copy goes on from the moment of the backup, and ends as one that was never disturbed.</summary>
public class BackupTests
{
    private const int Trades = 8_000;

    [Theory]
    [InlineData("Sqlite")]
    [InlineData("Postgres")]
    public async Task Server_on_a_restored_store_ends_with_the_archive_of_an_undisturbed_one(string kind)
    {
        using var folder = new TemporaryFolder();
        await using var whole = await ServerStore.Create(kind, folder, "whole");
        await using var running = await ServerStore.Create(kind, folder, "running");
        await using var restored = await ServerStore.Create(kind, folder, "restored");
        Assert.SkipUnless(kind == "Sqlite" || await Tool("pg_dump", "--version"), "pg_dump is not installed");
        var recording = folder["trades.ndjson"];
        await MadeUpTrades.WriteBinanceFrames(recording, 100, Trades, seed: 5);
        await using (var server = await ServerProcess.Start([.. OutageTests.Replay(recording), .. whole.Settings]))
            await server.WaitForEnd();

        await using (var server = await ServerProcess.Start([.. OutageTests.Replay(recording, speed: 100), .. running.Settings]))
        {
            // In the middle of it all; past a checkpoint, so that there is something to go on from.
            await server.WaitFor("/health", _ => running.HasCheckpoint());
            if (kind == "Sqlite")
            {
                var (code, said) = await ServerProcess.RunStoreCommand("backup", folder["copy"], running.Settings);
                Assert.True(code == 0, said);
            }
            else
            {
                await Dump(running, folder["copy"]);
            }

            await server.Kill();
        }

        if (kind == "Sqlite")
        {
            var (code, said) = await ServerProcess.RunStoreCommand("restore", folder["copy"], restored.Settings);
            Assert.True(code == 0, said);
        }
        else
        {
            await Restore((ServerStore.Postgres)restored, folder["copy"], SchemaOf(running));
        }

        await using (var last = await ServerProcess.Start([.. OutageTests.Replay(recording), .. restored.Settings]))
        {
            await last.WaitForEnd();
            Assert.DoesNotContain("starts from the beginning", last.Output, StringComparison.Ordinal);
            Assert.Equal(0, await last.Terminate());
        }

        Assert.True(ServerStore.AssertEqual(whole, restored) > Trades);
    }

    [Theory]
    [InlineData("backup", 2, "backup: the file is missing. Allowed: backup FILE [--key value ...].")]
    [InlineData("restore", 2, "restore: the file is missing. Allowed: restore FILE [--key value ...].")]
    public async Task Command_without_a_file_is_refused(string verb, int expected, string line)
    {
        using var folder = new TemporaryFolder();
        var (code, output) = await ServerProcess.RunStoreCommand(verb, null, ["--Kline:Storage:Path", folder["kline.db"]]);
        Assert.Equal(expected, code);
        Assert.Equal(line, output.Trim());
    }

    private static string SchemaOf(ServerStore store) => new NpgsqlConnectionStringBuilder(((ServerStore.Postgres)store).Database.ConnectionString).SearchPath!;

    private static async Task Dump(ServerStore store, string file) =>
        Assert.True(await Tool("pg_dump", [.. Where(store), "--format=custom", $"--schema={SchemaOf(store)}", $"--file={file}"]));

    // The dump names its schema; beside the one it came from it is restored under another name.
    private static async Task Restore(ServerStore.Postgres store, string file, string from)
    {
        var to = SchemaOf(store);
        Assert.True(await Tool("pg_restore", "--no-owner", $"--file={file}.sql", file));
        await File.WriteAllTextAsync($"{file}.sql", (await File.ReadAllTextAsync($"{file}.sql")).Replace(from, to, StringComparison.Ordinal).Replace($"CREATE SCHEMA {to};", "", StringComparison.Ordinal));
        Assert.True(await Tool("psql", [.. Where(store), "--quiet", "--set=ON_ERROR_STOP=1", $"--file={file}.sql"]));
    }

    private static string[] Where(ServerStore store)
    {
        var given = new NpgsqlConnectionStringBuilder(((ServerStore.Postgres)store).Database.ConnectionString);
        return [$"--host={given.Host}", $"--port={given.Port}", $"--username={given.Username}", $"--dbname={given.Database}"];
    }

    private static async Task<bool> Tool(string program, params string[] arguments)
    {
        try
        {
            var start = new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
            start.Environment["PGPASSWORD"] = PostgresDatabase.Password;
            using var process = Process.Start(start)!;
            var said = await process.StandardError.ReadToEndAsync();
            await process.WaitForExitAsync();
            TestContext.Current.TestOutputHelper?.WriteLine(said);
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}

using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Threading.Channels;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace KlineOrleans.Storage.Postgres;

/// <summary>One PostgreSQL database: its one writer, its pool of readers. Thread safe.</summary>
/// <remarks>
/// All writes of the process wait in one queue; a thread takes everything that waits, runs it as a few set-based statements in one transaction and then tells the
/// callers, so that a thousand callers share a round trip and a flush. Where the database goes away what waits fails with <see cref="ArchiveUnavailableException"/>
/// and the next write connects again. Opens on first use or by <see cref="Open"/>, once; after <see cref="Close"/> it stays closed.
/// </remarks>
public sealed class PostgresStore : IKlineStore, IAsyncDisposable, IDisposable
{
    private readonly PostgresSettings _settings;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly bool _shared;
    private readonly NpgsqlDataSource _source;
    private readonly NpgsqlDataSource _writerSource;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly SemaphoreSlim _freeReaders;
    private readonly Channel<PostgresWrite> _queue;
    private readonly TaskCompletionSource _writerEnded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _errorLock = new();

    // The writer's thread alone, once it runs.
    private readonly UncertainEtags _uncertain = new();
    private PostgresBatch? _batch;

    private volatile bool _isOpen;
    private volatile bool _isClosed;
    private volatile bool _canWrite = true;
    private string? _lastError;
    private DateTimeOffset? _lastErrorTime;
    private long _rows;
    private long _commits;
    private long _failed;

    /// <param name="connectionString">As Npgsql reads it. Tables lie in the first schema of its search path.</param>
    /// <param name="shared">Other processes use the same tables (a cluster). False: a second server is kept out.</param>
    public PostgresStore(string connectionString, bool shared, TimeProvider time, ILogger<PostgresStore> log)
        : this(connectionString, shared, time, log, new PostgresSettings())
    {
    }

    internal PostgresStore(string connectionString, bool shared, TimeProvider time, ILogger<PostgresStore> log, PostgresSettings settings)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(connectionString);
        var given = new NpgsqlConnectionStringBuilder(connectionString);
        if (!given.ShouldSerialize("Timeout"))
            given.Timeout = (int)settings.ConnectTimeout.TotalSeconds;
        if (!given.ShouldSerialize("Command Timeout"))
            given.CommandTimeout = (int)Math.Ceiling(settings.CommandTimeout.TotalSeconds);
        // Prepared once for each connection: planning a query over the partitions costs more than running it.
        if (!given.ShouldSerialize("Max Auto Prepare"))
            given.MaxAutoPrepare = 40;
        if (!given.ShouldSerialize("Auto Prepare Min Usages"))
            given.AutoPrepareMinUsages = 2;
        // Readers wait for their turn here, as long as it takes; in the pool they would fail as soon as a connection takes too long to be had.
        if (!given.ShouldSerialize("Maximum Pool Size"))
            given.MaxPoolSize = settings.Readers;
        if (!given.ShouldSerialize("Application Name"))
            given.ApplicationName = "KlineOrleans";
        // Nothing of a read is left on its connection: what the pool would reset is a round trip for nothing.
        given.NoResetOnClose = true;
        _settings = settings;
        _time = time;
        _log = log;
        _shared = shared;
        Where = Describe(given);
        _source = new NpgsqlDataSourceBuilder(given.ConnectionString).Build();
        // The writer's session ends with its connection: lock and staging table are not for the next user of a pool.
        _writerSource = new NpgsqlDataSourceBuilder(new NpgsqlConnectionStringBuilder(given.ConnectionString) { Pooling = false }.ConnectionString).Build();
        _freeReaders = new SemaphoreSlim(given.MaxPoolSize, given.MaxPoolSize);
        _queue = Channel.CreateBounded<PostgresWrite>(new BoundedChannelOptions(settings.QueueCapacity) { SingleReader = true });
    }

    /// <summary>Which database, for people: host, port and name, never a password.</summary>
    public string Where { get; }

    /// <inheritdoc/>
    public DateTimeOffset? NewestEnd => Newest.Value;

    internal NewestEnd Newest { get; } = new();

    /// <inheritdoc/>
    public StorageStatus Current
    {
        get
        {
            lock (_errorLock)
            {
                return new StorageStatus(
                    _isOpen && _canWrite,
                    _lastError,
                    _lastErrorTime,
                    _queue.Reader.Count,
                    FileBytes: 0,
                    Interlocked.Read(ref _rows),
                    Interlocked.Read(ref _commits),
                    Interlocked.Read(ref _failed));
            }
        }
    }

    /// <summary>Whether an error is about the database rather than about the values that were given.</summary>
    internal static bool IsAboutStore(NpgsqlException exception) =>
        // Class 22: a value that the type cannot hold; 23: a constraint.
        exception is not PostgresException postgres || !(postgres.SqlState.StartsWith("22", StringComparison.Ordinal) || postgres.SqlState.StartsWith("23", StringComparison.Ordinal));

    /// <inheritdoc/>
    public async Task Open(CancellationToken cancellationToken = default)
    {
        if (_isOpen)
            return;
        await _gate.WaitAsync(cancellationToken);
        try
        {
            ObjectDisposedException.ThrowIf(_isClosed, this);
            if (_isOpen)
                return;
            await Task.Run(OpenFirst, cancellationToken);
            _isOpen = true;
            _log.LogInformation(1201, "Store {Where} is open", Where);
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <inheritdoc/>
    public async Task Close()
    {
        await _gate.WaitAsync();
        try
        {
            if (_isClosed)
                return;
            _isClosed = true;
            _queue.Writer.TryComplete();
            if (_isOpen)
            {
                await _writerEnded.Task;
                _isOpen = false;
                _log.LogInformation(1202, "Store {Where} is closed", Where);
            }

            await _source.DisposeAsync();
            await _writerSource.DisposeAsync();
        }
        finally
        {
            _gate.Release();
        }
    }

    public async ValueTask DisposeAsync() => await Close();

    /// <summary>Waits for <see cref="Close"/>, on a pool thread so that no context can hold it up.</summary>
    public void Dispose() => Task.Run(Close).GetAwaiter().GetResult();

    /// <summary>Queues a write and answers when it is committed. Cancelled only while it waits.</summary>
    /// <exception cref="ArchiveUnavailableException">Nothing was written, as far as is known.</exception>
    internal async Task<T> Write<T>(PostgresWrite<T> write, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await EnsureOpen(cancellationToken);
        if (!_queue.Writer.TryWrite(write))
        {
            try
            {
                await _queue.Writer.WriteAsync(write, cancellationToken);
            }
            catch (ChannelClosedException)
            {
                throw Closed();
            }
        }

        return await write.Done;
    }

    /// <summary>Runs a query on a connection of the pool.</summary>
    /// <exception cref="ArchiveUnavailableException">The store cannot be read now.</exception>
    internal async Task<T> Read<T>(Func<NpgsqlConnection, CancellationToken, Task<T>> query, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await EnsureOpen(cancellationToken);
        if (!await _freeReaders.WaitAsync(_settings.ReadPatience, cancellationToken))
            throw new ArchiveUnavailableException($"The store {Where} cannot be read now: no reader came free in {_settings.ReadPatience}.");
        try
        {
            return await ReadNow(query, cancellationToken);
        }
        finally
        {
            _freeReaders.Release();
        }
    }

    /// <inheritdoc/>
    /// <remarks>
    /// On a connection of its own, beside the writer, a slice of time after the other. The BRIN index leads to the old rows; autovacuum, set to come often, makes
    /// their room usable again while everything goes on.
    /// </remarks>
    public async Task<long> Prune(KlineInterval interval, DateTimeOffset before, CancellationToken cancellationToken = default)
    {
        var cutoff = KlineIntervals.FloorSeconds(before) - interval.Seconds() + 1;
        var table = $"kline_{interval.Name()}";
        var deleted = 0L;
        while (await Oldest(table, cutoff, cancellationToken) is { } from)
        {
            // The slice is as long as keeps a step near its goal; the first is a guess.
            for (var length = interval.Seconds() * 60; from < cutoff;)
            {
                var to = Math.Min(from + length, cutoff);
                var rows = await Execute($"DELETE FROM {table} WHERE open_time >= $1 AND open_time < $2", cancellationToken, from, to);
                deleted += rows;
                from = to;
                length = rows > _settings.PruneRows ? Math.Max(interval.Seconds(), length / 2) : rows < _settings.PruneRows / 4 ? Math.Min(length * 2, 1L << 40) : length;
            }
        }

        return deleted;
    }

    private Task<long?> Oldest(string table, long cutoff, CancellationToken cancellationToken) =>
        Read(
            async (connection, cancellation) =>
            {
                await using var command = new NpgsqlCommand($"SELECT min(open_time) FROM {table} WHERE open_time < $1", connection);
                command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = cutoff });
                return await command.ExecuteScalarAsync(cancellation) as long?;
            },
            cancellationToken);

    /// <summary>Runs a statement on a connection of the pool, outside the writer, and answers how many rows it changed.</summary>
    internal Task<int> Execute(string sql, CancellationToken cancellationToken, params ReadOnlySpan<long> parameters)
    {
        long[] values = [.. parameters];
        return Read(
            async (connection, cancellation) =>
            {
                await using var command = new NpgsqlCommand(sql, connection);
                foreach (var value in values)
                    command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = value });
                return await command.ExecuteNonQueryAsync(cancellation);
            },
            cancellationToken);
    }

    private async Task<T> ReadNow<T>(Func<NpgsqlConnection, CancellationToken, Task<T>> query, CancellationToken cancellationToken)
    {
        for (var isFirst = true; ; isFirst = false)
        {
            try
            {
                await using var connection = await _source.OpenConnectionAsync(cancellationToken);
                return await query(connection, cancellationToken);
            }
            catch (NpgsqlException exception) when (isFirst && exception.InnerException is not TimeoutException && (exception is not PostgresException postgres || postgres.SqlState.StartsWith("57P", StringComparison.Ordinal)))
            {
                // A connection of the pool from before the database was restarted. The others are no better.
                _source.Clear();
            }
            catch (NpgsqlException exception) when (IsAboutStore(exception))
            {
                Note(exception);
                throw new ArchiveUnavailableException($"The store {Where} cannot be read now: {Reason(exception)}", exception);
            }
            catch (ObjectDisposedException)
            {
                throw Closed();
            }
        }
    }

    private static string Describe(NpgsqlConnectionStringBuilder given) =>
        $"PostgreSQL database '{given.Database ?? given.Username}' at {given.Host}{(given.Host?.Contains(':', StringComparison.Ordinal) == true ? "" : $":{given.Port}")}";

    private static string Reason(Exception exception) => exception.InnerException is { } inner and not NpgsqlException ? $"{exception.Message} ({inner.Message})" : exception.Message;

    private async ValueTask EnsureOpen(CancellationToken cancellationToken)
    {
        if (_isClosed)
            throw Closed();
        if (_isOpen)
            return;
        try
        {
            await Open(cancellationToken);
        }
        catch (ObjectDisposedException)
        {
            throw Closed();
        }
        catch (StorageOpenException exception)
        {
            throw new ArchiveUnavailableException(exception.Message, exception);
        }
    }

    private ArchiveUnavailableException Closed() => new($"The store {Where} is closed.");

    private void OpenFirst()
    {
        try
        {
            var started = _time.GetTimestamp();
            while (_batch is null)
            {
                try
                {
                    _batch = Connect();
                }
                catch (StoreInUseException) when (_time.GetElapsedTime(started) < _settings.LockPatience)
                {
                    // The server before was killed, and the database is still busy with its last statement.
                    Wait(TimeSpan.FromMilliseconds(200));
                }
            }

            new Thread(WriteLoop) { IsBackground = true, Name = "kline store writer" }.Start();
        }
        catch (Exception exception) when (exception is NpgsqlException or StoreInUseException)
        {
            Note(exception);
            throw new StorageOpenException(exception is StoreInUseException ? exception.Message : $"{Where} cannot be opened: {Reason(exception)}", exception);
        }
    }

    /// <summary>A connection for the writer, with the lock and the tables.</summary>
    [SuppressMessage("Reliability", "CA2000", Justification = "The connection is the result's.")]
    private PostgresBatch Connect()
    {
        var connection = _writerSource.OpenConnection();
        try
        {
            PostgresSchema.Migrate(connection, Where);
            if (!_shared)
            {
                // The database holds it for the connection and lets go when that ends, however it ends.
                using var command = new NpgsqlCommand($"SELECT pg_try_advisory_lock({PostgresSchema.LockClass}, hashtext(current_schema()))", connection);
                if (command.ExecuteScalar() is not true)
                    throw new StoreInUseException($"{Where} is in use: another server writes into it. Stop it, or give this one another database or Search Path in {StorageOptions.ConnectionStringKey}.");
            }

            using (var stage = new NpgsqlCommand("CREATE TEMP TABLE kline_staging (LIKE kline) ON COMMIT DELETE ROWS", connection))
                stage.ExecuteNonQuery();
            return new PostgresBatch(connection, _uncertain);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private void WriteLoop()
    {
        var writes = new List<PostgresWrite>();
        while (WaitForWrites())
        {
            writes.Clear();
            var rows = 0;
            while (rows < _settings.BatchRows && _queue.Reader.TryRead(out var write))
            {
                if (!write.TryCancel())
                {
                    writes.Add(write);
                    rows += write.Rows;
                }
            }

            try
            {
                CommitAll(writes);
            }
            catch (Exception exception)
            {
                // Nobody may wait for ever, whatever this is.
                _log.LogCritical(1203, exception, "Store {Where}: the writer met an error it does not know", Where);
                Disconnect();
                foreach (var write in writes)
                    write.Fail(new ArchiveUnavailableException($"The store {Where} cannot write now: {exception.Message}", exception));
            }
        }

        Disconnect();
        _writerEnded.SetResult();
    }

    /// <summary>False once the queue is closed and empty. Meanwhile looks for a database that was away, so that it is known to be back also where nobody writes.</summary>
    private bool WaitForWrites()
    {
        var waiting = _queue.Reader.WaitToReadAsync().AsTask();
        while (!_canWrite && Task.WhenAny(waiting, Task.Delay(_settings.ProbeInterval, _time)).GetAwaiter().GetResult() != waiting)
            TryCommit([]);
        return waiting.GetAwaiter().GetResult();
    }

    private void Wait(TimeSpan time) => Task.Delay(time, _time).GetAwaiter().GetResult();

    private void CommitAll(List<PostgresWrite> writes)
    {
        var all = CollectionsMarshal.AsSpan(writes);
        var failure = _isClosed && !_canWrite && writes.Count > 0 ? Closed() : TryCommit(all);
        if (failure is null)
            return;

        // One of them failed, and all were taken back. Once more, each alone, so that it fails alone; unless the database itself is away.
        for (var i = 0; i < all.Length; i++)
        {
            if (!IsAway(failure))
                failure = all.Length == 1 ? failure : TryCommit(all.Slice(i, 1));
            if (failure is not null)
                Fail(all[i], failure);
        }
    }

    private static bool IsAway(Exception? failure) => failure is ArchiveUnavailableException or StoreInUseException or StorageOpenException || (failure is NpgsqlException npgsql && IsAboutStore(npgsql));

    private Exception? TryCommit(ReadOnlySpan<PostgresWrite> writes)
    {
        var commits = false;
        try
        {
            _batch ??= Connect();
            if (writes.IsEmpty)
            {
                using var probe = new NpgsqlCommand("SELECT 1", _batch.Connection);
                probe.ExecuteNonQuery();
            }
            else
            {
                using var transaction = _batch.Connection.BeginTransaction();
                _batch.Run(writes);
                commits = true;
                transaction.Commit();
                _batch.Committed();
                Interlocked.Increment(ref _commits);
            }

            if (!_canWrite)
            {
                _canWrite = true;
                _log.LogInformation(1204, "Store {Where} can be written again", Where);
            }
        }
        catch (Exception exception)
        {
            if (commits)
            {
                foreach (var write in writes)
                {
                    if (write is StateWrite { Result.IsStored: true } state)
                        _uncertain.Add(state.Key, state.Next);
                }
            }

            if (IsAway(exception) || exception is not (NpgsqlException or ArgumentException))
            {
                Disconnect();
                Away(exception);
            }

            return exception;
        }

        foreach (var write in writes)
        {
            Interlocked.Add(ref _rows, write.Rows);
            if (write is StateWrite { Result.IsStored: true } state)
                _uncertain.Remove(state.Key);
            write.Complete();
        }

        return null;
    }

    private void Disconnect()
    {
        if (_batch is { } batch)
        {
            _batch = null;
            batch.Connection.Dispose();
        }
    }

    private void Away(Exception exception)
    {
        // The reason first: whoever sees that it cannot be written asks why.
        Note(exception);
        if (_canWrite)
        {
            _canWrite = false;
            _log.LogError(1205, exception, "Store {Where} cannot be written", Where);
        }
    }

    private void Fail(PostgresWrite write, Exception exception)
    {
        if (IsAway(exception) || exception is not (NpgsqlException or ArgumentException))
        {
            Interlocked.Increment(ref _failed);
            write.Fail(new ArchiveUnavailableException($"The store {Where} cannot write now: {Reason(exception)}", exception));
        }
        else
        {
            write.Fail(exception);
        }
    }

    private void Note(Exception exception)
    {
        lock (_errorLock)
        {
            _lastError = Reason(exception);
            _lastErrorTime = _time.GetUtcNow();
        }
    }

    private sealed class StoreInUseException(string message) : Exception(message);
}

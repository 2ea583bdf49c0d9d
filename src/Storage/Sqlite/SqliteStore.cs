using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;
using SQLitePCL;

namespace KlineOrleans.Storage.Sqlite;

/// <summary>One SQLite file: its lock, its one writer, its readers. Thread safe.</summary>
/// <remarks>
/// Write-ahead log. All writes of the process wait in one queue; a thread takes everything that waits, runs it in one transaction and then tells the callers, so
/// that a thousand callers share one flush of the disk. Readers have connections of their own, see the last commit and never wait for the writer.
/// Opens on first use or by <see cref="Open"/>, once; after <see cref="Close"/> it stays closed.
/// </remarks>
public sealed class SqliteStore : IKlineStore, IAsyncDisposable, IDisposable
{
    // What an open file with FileShare.None answers a second opener.
    private const int SharingViolation = unchecked((int)0x80070020);
    private const int WouldBlockLinux = 11;
    private const int WouldBlockMac = 35;

    private readonly SqliteSettings _settings;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly SemaphoreSlim _freeReaders;
    private readonly ConcurrentStack<SqliteConnection> _readers = new();
    private readonly Channel<WriteOperation> _queue;
    private readonly TaskCompletionSource _writerEnded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _errorLock = new();

    private FileStream? _lock;
    private SqliteConnection? _writer;
    private volatile bool _isOpen;
    private volatile bool _isClosed;
    private volatile bool _canWrite = true;
    private string? _lastError;
    private DateTimeOffset? _lastErrorTime;
    private long _rows;
    private long _commits;
    private long _failed;

    /// <param name="path">The file; its folder is made where it is absent. Beside it lie <c>-wal</c>, <c>-shm</c> and <c>.lock</c>.</param>
    public SqliteStore(string path, TimeProvider time, ILogger<SqliteStore> log)
        : this(path, time, log, new SqliteSettings())
    {
    }

    internal SqliteStore(string path, TimeProvider time, ILogger<SqliteStore> log, SqliteSettings settings)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        Path = System.IO.Path.GetFullPath(path);
        _time = time;
        _log = log;
        _settings = settings;
        _freeReaders = new SemaphoreSlim(settings.Readers, settings.Readers);
        _queue = Channel.CreateBounded<WriteOperation>(new BoundedChannelOptions(settings.QueueCapacity) { SingleReader = true });
    }

    /// <summary>The file's full path.</summary>
    public string Path { get; }

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
                    SizeOf(Path) + SizeOf(Path + "-wal"),
                    Interlocked.Read(ref _rows),
                    Interlocked.Read(ref _commits),
                    Interlocked.Read(ref _failed));
            }
        }
    }

    /// <summary>Opens the file, makes or migrates its tables and starts the writer. Does nothing when open.</summary>
    /// <exception cref="StorageOpenException">It is in use, newer, foreign, damaged or not accessible; calling again tries again.</exception>
    /// <exception cref="ObjectDisposedException">It was closed.</exception>
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
            await Task.Run(OpenFile, cancellationToken);
            _isOpen = true;
            _log.LogInformation(1208, "Store {Path} is open, {Bytes} bytes", Path, SizeOf(Path));
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Writes what waits, refuses what comes after, moves the log into the main file and lets go of it. Idempotent.</summary>
    public async Task Close()
    {
        await _gate.WaitAsync();
        try
        {
            if (_isClosed)
                return;
            _isClosed = true;
            _queue.Writer.TryComplete();
            if (!_isOpen)
                return;
            await _writerEnded.Task;
            for (var i = 0; i < _settings.Readers; i++)
                await _freeReaders.WaitAsync();
            _isOpen = false;
            CloseFile();
            _freeReaders.Release(_settings.Readers);
            _log.LogInformation(1209, "Store {Path} is closed", Path);
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Copies the whole store, as of one moment, into a new file that is a store itself. Writes and reads go on meanwhile.</summary>
    /// <exception cref="IOException"><paramref name="target"/> exists, or cannot be written.</exception>
    /// <exception cref="ArchiveUnavailableException">The store cannot be read now. Nothing is left at <paramref name="target"/>.</exception>
    public async Task Backup(string target, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(target);
        var full = System.IO.Path.GetFullPath(target);
        await Read(
            (_, _) =>
            {
                SqliteBackup.Copy(Path, full);
                return true;
            },
            cancellationToken);
    }

    /// <inheritdoc/>
    /// <remarks>
    /// Old rows are looked for by readers and deleted by the writer, a thousand at a time between the writes of others, so that no write waits for more than one such
    /// step. Pages that this leaves empty are used again; where they are more than a tenth of the file the file is cut, as gently.
    /// </remarks>
    public async Task<long> Prune(KlineInterval interval, DateTimeOffset before, CancellationToken cancellationToken = default)
    {
        var cutoff = KlineIntervals.FloorSeconds(before) - interval.Seconds();
        var deleted = 0L;
        for (var from = 0L; ;)
        {
            var start = from;
            var (next, old) = await Read((connection, _) => OldSymbols(connection, interval, cutoff, start), cancellationToken);
            for (var done = 0; done < old.Count;)
            {
                var first = done;
                (done, var rows) = await Write(session => DeleteOld(session.Connection, interval, cutoff, old, first), 1, cancellationToken);
                deleted += rows;
            }

            if (next is null)
                break;
            from = next.Value;
        }

        while (await Write(session => CutFile(session.Connection), 1, cancellationToken))
        {
            // Others' writes come between.
        }

        return deleted;
    }

    public async ValueTask DisposeAsync() => await Close();

    /// <summary>Waits for <see cref="Close"/>, on a pool thread so that no context can hold it up.</summary>
    public void Dispose() => Task.Run(Close).GetAwaiter().GetResult();

    /// <summary>Queues a write and answers when it is committed. Cancelled only while it waits.</summary>
    /// <param name="run">Runs on the writer's thread inside a transaction that it shares with others; may run again after a rollback.</param>
    /// <param name="rows">About how many rows it writes.</param>
    /// <exception cref="ArchiveUnavailableException">Nothing was written.</exception>
    internal async Task<T> Write<T>(Func<SqliteWriteSession, T> run, int rows, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await EnsureOpen(cancellationToken);
        var operation = new WriteOperation<T>(run, rows, cancellationToken);
        if (!_queue.Writer.TryWrite(operation))
        {
            try
            {
                await _queue.Writer.WriteAsync(operation, cancellationToken);
            }
            catch (ChannelClosedException)
            {
                throw Closed();
            }
        }

        return await operation.Done;
    }

    /// <summary>Runs a query on a connection of its own, on a pool thread.</summary>
    /// <exception cref="ArchiveUnavailableException">The store cannot be read now.</exception>
    internal async Task<T> Read<T>(Func<SqliteConnection, CancellationToken, T> query, CancellationToken cancellationToken)
    {
        await EnsureOpen(cancellationToken);
        await _freeReaders.WaitAsync(cancellationToken);
        try
        {
            if (!_isOpen)
                throw Closed();
            return await Task.Run(() => ReadNow(query, cancellationToken), cancellationToken);
        }
        finally
        {
            _freeReaders.Release();
        }
    }

    /// <summary>Of the next symbols those with a kline that opened at or before the cutoff, and where to go on; null: that was all.</summary>
    private static (long? Next, List<long> Symbols) OldSymbols(SqliteConnection connection, KlineInterval interval, long cutoff, long from)
    {
        const int Page = 2_000;
        var query = connection.Statement(
            """
            SELECT s.id, EXISTS (SELECT 1 FROM kline k WHERE k.symbol_id = s.id AND k.interval = ?2 AND k.open_time <= ?3) FROM symbol s WHERE s.id > ?1 ORDER BY s.id LIMIT ?4
            """);
        query.Bind(1, from);
        query.Bind(2, (long)interval);
        query.Bind(3, cutoff);
        query.Bind(4, Page);
        var symbols = new List<long>();
        var count = 0;
        try
        {
            while (query.Step())
            {
                count++;
                from = query.Int64(0);
                if (query.Int64(1) != 0)
                    symbols.Add(from);
            }
        }
        finally
        {
            query.Reset();
        }

        return (count < Page ? null : from, symbols);
    }

    /// <summary>Deletes old klines of one symbol after the other, until they are as many as one step may delete. Answers which symbol is next.</summary>
    private (int Next, long Rows) DeleteOld(SqliteConnection connection, KlineInterval interval, long cutoff, List<long> symbols, int first)
    {
        var left = (long)_settings.PruneRows;
        for (; first < symbols.Count; first++)
        {
            var bound = connection.Statement("SELECT open_time FROM kline WHERE symbol_id = ?1 AND interval = ?2 AND open_time <= ?3 ORDER BY open_time LIMIT 1 OFFSET ?4");
            bound.Bind(1, symbols[first]);
            bound.Bind(2, (long)interval);
            bound.Bind(3, cutoff);
            bound.Bind(4, left);
            long? more;
            try
            {
                more = bound.Step() ? bound.Int64(0) : null;
            }
            finally
            {
                bound.Reset();
            }

            var delete = connection.Statement("DELETE FROM kline WHERE symbol_id = ?1 AND interval = ?2 AND open_time < ?3");
            delete.Bind(1, symbols[first]);
            delete.Bind(2, (long)interval);
            delete.Bind(3, more ?? cutoff + 1);
            delete.Run();
            left -= connection.Changes;
            if (more is not null)
                break;
        }

        return (first, _settings.PruneRows - left);
    }

    /// <summary>Gives a few empty pages back to the file system; false: few enough are left, for the rows to come.</summary>
    private static bool CutFile(SqliteConnection connection)
    {
        const int Step = 256;
        var empty = connection.Number("PRAGMA freelist_count");
        // A file from before this was thought of has no map of its pages, and is only cut by backup and restore.
        if (connection.Number("PRAGMA auto_vacuum") != 2 || empty - Step < connection.Number("PRAGMA page_count") / 10)
            return false;
        connection.Execute($"PRAGMA incremental_vacuum({Step})");
        return true;
    }

    private static long SizeOf(string path)
    {
        var file = new FileInfo(path);
        return file.Exists ? file.Length : 0;
    }

    private T ReadNow<T>(Func<SqliteConnection, CancellationToken, T> query, CancellationToken cancellationToken)
    {
        SqliteConnection? connection = null;
        try
        {
            if (!_readers.TryPop(out connection))
            {
                connection = SqliteConnection.OpenToRead(Path);
                connection.BusyTimeout(_settings.BusyTimeout);
            }

            var result = query(connection, cancellationToken);
            _readers.Push(connection);
            connection = null;
            return result;
        }
        catch (SqliteException exception) when (exception.IsTransient)
        {
            Note(exception);
            throw new ArchiveUnavailableException($"The store '{Path}' cannot be read now: {exception.Message}", exception);
        }
        finally
        {
            // Not given back: something failed on it.
            connection?.Dispose();
        }
    }

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

    private ArchiveUnavailableException Closed() => new($"The store '{Path}' is closed.");

    private void OpenFile()
    {
        try
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
            _lock = LockFile(Path);
            _writer = OpenWriter();
            new Thread(WriteLoop) { IsBackground = true, Name = "kline store writer" }.Start();
        }
        catch (Exception exception)
        {
            _writer?.Dispose();
            _writer = null;
            _lock?.Dispose();
            _lock = null;
            Note(exception);
            switch (exception)
            {
                case SqliteException { Code: raw.SQLITE_NOTADB }:
                    throw new StorageOpenException($"'{Path}' is not a SQLite file. Set {StorageOptions.PathKey} to another path, or move the file away.", exception);
                case SqliteException { Code: raw.SQLITE_CORRUPT }:
                    throw new StorageOpenException($"'{Path}' is damaged: {exception.Message}. Restore a backup, or move the file away to begin anew.", exception);
                case SqliteException or IOException or UnauthorizedAccessException:
                    throw new StorageOpenException($"'{Path}' cannot be opened: {exception.Message}", exception);
                default:
                    throw;
            }
        }
    }

    // The operating system holds it for the process and lets go when the process ends, however it ends: it is never stale. The file itself stays.
    internal static FileStream LockFile(string store)
    {
        var path = store + ".lock";
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException exception) when (exception.HResult is SharingViolation or WouldBlockLinux or WouldBlockMac)
        {
            throw new StorageOpenException(
                $"'{store}' is in use: another process holds '{path}'. Stop it, or set {StorageOptions.PathKey} to another path.",
                exception);
        }
    }

    [SuppressMessage("Reliability", "CA2000", Justification = "The connection is the result.")]
    private SqliteConnection OpenWriter()
    {
        var connection = SqliteConnection.OpenToWrite(Path);
        try
        {
            connection.BusyTimeout(_settings.BusyTimeout);
            if (connection.IsReadOnly)
                throw new StorageOpenException($"'{Path}' may not be written by this user. Change its permissions, or set {StorageOptions.PathKey} to another path.");
            // Only an empty file can be made so that pages can be given back while the server runs.
            if (connection.Number("PRAGMA page_count") == 0)
                connection.Execute("PRAGMA auto_vacuum = INCREMENTAL");
            SqliteSchema.Migrate(connection, Path);
            // Cache: the pages that klines of thousands of symbols are appended to. Size limit: the log's file shrinks again after a burst.
            connection.Execute(
                $"""
                PRAGMA journal_mode = WAL;
                PRAGMA synchronous = {_settings.Synchronous};
                PRAGMA wal_autocheckpoint = {_settings.CheckpointPages};
                PRAGMA journal_size_limit = 67108864;
                PRAGMA cache_size = -65536;
                """);
            // Reads a page of each table, so that a file cut off or overwritten is found now rather than at the first write.
            connection.Number("SELECT (SELECT count(*) FROM (SELECT 1 FROM kline LIMIT 1)) + (SELECT count(*) FROM (SELECT 1 FROM symbol LIMIT 1)) + (SELECT count(*) FROM (SELECT 1 FROM grain_state LIMIT 1))");
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private void CloseFile()
    {
        while (_readers.TryPop(out var reader))
            reader.Dispose();
        try
        {
            _writer?.Execute("PRAGMA wal_checkpoint(TRUNCATE)");
        }
        catch (SqliteException exception)
        {
            // Harmless: the log is read again at the next start.
            _log.LogWarning(1210, exception, "Store {Path}: the log could not be moved into the main file at close", Path);
        }

        _writer?.Dispose();
        _lock?.Dispose();
    }

    private void WriteLoop()
    {
        var session = new SqliteWriteSession(_writer!);
        var batch = new List<WriteOperation>();
        while (_queue.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            batch.Clear();
            var rows = 0;
            while (rows < _settings.BatchRows && _queue.Reader.TryRead(out var operation))
            {
                if (!operation.TryCancel())
                {
                    batch.Add(operation);
                    rows += operation.Rows;
                }
            }

            if (batch.Count == 0)
                continue;
            try
            {
                CommitAll(ref session, batch);
            }
            catch (Exception exception)
            {
                // Nobody may wait for ever, whatever this is.
                _log.LogCritical(1211, exception, "Store {Path}: the writer met an error it does not know", Path);
                foreach (var operation in batch)
                    operation.Fail(new ArchiveUnavailableException($"The store '{Path}' cannot write now: {exception.Message}", exception));
            }
        }

        _writerEnded.SetResult();
    }

    private void CommitAll(ref SqliteWriteSession session, List<WriteOperation> batch)
    {
        var failure = TryCommit(ref session, batch, 0, batch.Count);
        if (failure is null)
            return;

        // One of them failed, and all were taken back. Once more, each alone, so that it fails alone; unless the store itself is away.
        for (var i = 0; i < batch.Count; i++)
        {
            if (failure is not SqliteException { IsAboutStore: true })
                failure = batch.Count == 1 ? failure : TryCommit(ref session, batch, i, 1);
            if (failure is not null)
                Fail(batch[i], failure);
        }
    }

    private Exception? TryCommit(ref SqliteWriteSession session, List<WriteOperation> batch, int first, int count)
    {
        try
        {
            session.Begin();
            var rows = 0;
            for (var i = first; i < first + count; i++)
            {
                batch[i].Run(session);
                rows += batch[i].Rows;
            }

            session.Commit();
            Interlocked.Add(ref _rows, rows);
            Interlocked.Increment(ref _commits);
            if (!_canWrite)
            {
                _canWrite = true;
                _log.LogInformation(1212, "Store {Path} can be written again", Path);
            }
        }
        catch (Exception exception)
        {
            TakeBack(ref session);
            return exception;
        }

        for (var i = first; i < first + count; i++)
            batch[i].Complete();
        return null;
    }

    private void TakeBack(ref SqliteWriteSession session)
    {
        try
        {
            session.Rollback();
        }
        catch (SqliteException exception)
        {
            // A connection that cannot even roll back is of no more use. Without commit its changes are gone with it.
            _log.LogError(1213, exception, "Store {Path}: rollback failed, the file is opened again", Path);
            try
            {
                var connection = OpenWriter();
                session.Connection.Dispose();
                _writer = connection;
                session = new SqliteWriteSession(connection);
            }
            catch (Exception again) when (again is SqliteException or StorageOpenException)
            {
                _log.LogError(1214, again, "Store {Path} could not be opened again", Path);
            }
        }
    }

    private void Fail(WriteOperation operation, Exception exception)
    {
        if (exception is SqliteException { IsTransient: true })
        {
            Interlocked.Increment(ref _failed);
            // The reason first: whoever sees that it cannot be written asks why.
            Note(exception);
            if (_canWrite)
            {
                _canWrite = false;
                _log.LogError(1215, exception, "Store {Path} cannot be written", Path);
            }

            operation.Fail(new ArchiveUnavailableException($"The store '{Path}' cannot write now: {exception.Message}", exception));
        }
        else
        {
            operation.Fail(exception);
        }
    }

    private void Note(Exception exception)
    {
        lock (_errorLock)
        {
            _lastError = exception.Message;
            _lastErrorTime = _time.GetUtcNow();
        }
    }
}

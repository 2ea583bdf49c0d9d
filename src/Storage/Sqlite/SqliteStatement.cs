using System.Text;
using SQLitePCL;

namespace KlineOrleans.Storage.Sqlite;

/// <summary>One prepared statement. Parameters count from 1, columns from 0. For one thread at a time, like its connection.</summary>
/// <remarks>
/// Straight on the C interface: ADO.NET's parameter and reader objects cost more than the row itself when a row has 25 values.
/// After the last <see cref="Step"/> call <see cref="Reset"/>: a statement that was not reset keeps its read transaction open.
/// </remarks>
internal sealed class SqliteStatement(SqliteConnection connection, sqlite3_stmt handle) : IDisposable
{
    // Text that is not valid UTF-16 would come back as other text: refuse it.
    internal static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public void Bind(int index, long value) => Check(raw.sqlite3_bind_int64(handle, index, value));

    public void BindNull(int index) => Check(raw.sqlite3_bind_null(handle, index));

    /// <summary>Binds UTF-8 text.</summary>
    public void BindText(int index, ReadOnlySpan<byte> utf8) =>
        // An empty span has no address, which SQLite takes for NULL.
        Check(utf8.IsEmpty ? raw.sqlite3_bind_text(handle, index, "") : raw.sqlite3_bind_text(handle, index, utf8));

    /// <exception cref="EncoderFallbackException">The text holds half a surrogate pair.</exception>
    public void BindText(int index, string? text)
    {
        if (text is null)
        {
            BindNull(index);
            return;
        }

        if (text.Length <= 256)
        {
            Span<byte> utf8 = stackalloc byte[768];
            BindText(index, utf8[..Utf8.GetBytes(text, utf8)]);
        }
        else
        {
            BindText(index, Utf8.GetBytes(text));
        }
    }

    public void BindBlob(int index, ReadOnlySpan<byte> blob) =>
        // As with text.
        Check(blob.IsEmpty ? raw.sqlite3_bind_zeroblob(handle, index, 0) : raw.sqlite3_bind_blob(handle, index, blob));

    /// <summary>Runs to the next row; false: there is none and the statement is done.</summary>
    public bool Step()
    {
        var code = raw.sqlite3_step(handle);
        return code switch
        {
            raw.SQLITE_ROW => true,
            raw.SQLITE_DONE => false,
            _ => throw Failed(code),
        };
    }

    /// <summary>Runs a statement without rows and makes it ready for the next run, also where it fails.</summary>
    public void Run()
    {
        try
        {
            Step();
        }
        finally
        {
            Reset();
        }
    }

    // The code that reset answers is that of the step before it, which was reported then.
    public void Reset() => raw.sqlite3_reset(handle);

    public bool IsNull(int column) => raw.sqlite3_column_type(handle, column) == raw.SQLITE_NULL;

    public long Int64(int column) => raw.sqlite3_column_int64(handle, column);

    /// <summary>The column's bytes: those of a blob, or the UTF-8 of a text. Valid until the next step or reset.</summary>
    public ReadOnlySpan<byte> Bytes(int column) => raw.sqlite3_column_blob(handle, column);

    public string? Text(int column) => IsNull(column) ? null : Encoding.UTF8.GetString(Bytes(column));

    public void Dispose() => handle.Dispose();

    private void Check(int code)
    {
        if (code != raw.SQLITE_OK)
        {
            throw Failed(code);
        }
    }

    private SqliteException Failed(int code)
    {
        var exception = connection.Failed(code);
        Reset();
        return exception;
    }
}

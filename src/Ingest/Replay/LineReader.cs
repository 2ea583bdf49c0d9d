namespace KlineOrleans.Ingest.Replay;

/// <summary>Reads a file line by line in pieces, whatever its size. One user at a time.</summary>
/// <remarks>A line ends with LF or CRLF, the last one also with the end of the file. A byte order mark is no part of the first line.</remarks>
internal sealed class LineReader : IAsyncDisposable
{
    /// <summary>The longest line that is read, in bytes; a longer one is passed over.</summary>
    public const int MaxLineLength = 4 * 1024 * 1024;

    private readonly Stream _stream;
    private byte[] _buffer = new byte[64 * 1024];
    private int _start;
    private int _end;
    private bool _atEnd;
    private int _lineStart;
    private int _lineLength;

    /// <param name="stream">Read from its position on; disposed with this reader.</param>
    /// <param name="offset">The stream's position.</param>
    /// <param name="lines">The lines before it.</param>
    public LineReader(Stream stream, long offset, long lines)
    {
        _stream = stream;
        Offset = offset;
        LineNumber = lines;
    }

    /// <summary>The byte after the newest line and its end.</summary>
    public long Offset { get; private set; }

    /// <summary>The newest line's number, from 1.</summary>
    public long LineNumber { get; private set; }

    /// <summary>The newest line was longer than <see cref="MaxLineLength"/>: <see cref="Line"/> is empty.</summary>
    public bool IsTooLong { get; private set; }

    /// <summary>The newest line without its end. Valid until the next read.</summary>
    public ReadOnlySpan<byte> Line => _buffer.AsSpan(_lineStart, _lineLength);

    /// <summary>Takes the next line if the buffer has all of it.</summary>
    public bool TryRead()
    {
        var rest = _buffer.AsSpan(_start, _end - _start);
        var end = rest.IndexOf((byte)'\n');
        if (end < 0)
        {
            return false;
        }

        Take(end, end + 1);
        return true;
    }

    /// <summary>Reads the next line; false at the end of the file.</summary>
    public async ValueTask<bool> Read(CancellationToken cancellationToken)
    {
        var passedOver = 0L;
        while (true)
        {
            var rest = _buffer.AsSpan(_start, _end - _start);
            var end = rest.IndexOf((byte)'\n');
            if (end >= 0 || (_atEnd && rest.Length > 0) || (_atEnd && passedOver > 0))
            {
                var length = end >= 0 ? end : rest.Length;
                Take(length, end >= 0 ? end + 1 : length);
                if (passedOver > 0)
                {
                    Offset += passedOver;
                    IsTooLong = true;
                    _lineLength = 0;
                }

                return true;
            }

            if (_atEnd)
            {
                return false;
            }

            if (rest.Length >= MaxLineLength)
            {
                passedOver += rest.Length;
                _start = _end = 0;
            }

            await Fill(cancellationToken);
        }
    }

    public ValueTask DisposeAsync() => _stream.DisposeAsync();

    private void Take(int length, int lengthWithEnd)
    {
        _lineStart = _start;
        _lineLength = length;
        if (_lineLength > 0 && _buffer[_lineStart + _lineLength - 1] == '\r')
        {
            _lineLength--;
        }

        if (Offset == 0 && _buffer.AsSpan(_lineStart, _lineLength).StartsWith("\uFEFF"u8))
        {
            _lineStart += 3;
            _lineLength -= 3;
        }

        _start += lengthWithEnd;
        Offset += lengthWithEnd;
        LineNumber++;
        IsTooLong = false;
    }

    private async ValueTask Fill(CancellationToken cancellationToken)
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }

        if (_end == _buffer.Length)
        {
            Array.Resize(ref _buffer, _buffer.Length * 2);
        }

        var read = await _stream.ReadAsync(_buffer.AsMemory(_end), cancellationToken);
        _atEnd = read == 0;
        _end += read;
    }
}

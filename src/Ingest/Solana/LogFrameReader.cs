using System.Text.Json;

namespace KlineOrleans.Ingest.Solana;

/// <summary>What a line or WebSocket frame from an RPC node turned out to be.</summary>
internal enum LogFrameKind
{
    /// <summary>Not JSON, or a notification without what it must have.</summary>
    Malformed,

    /// <summary>JSON that is neither of the below: an acknowledgement, an error, another notification.</summary>
    Other,

    /// <summary>A logsNotification: slot, signature and log lines of one transaction.</summary>
    Logs,

    /// <summary><c>{"slot":N,"blockTime":S}</c>: the block time of a slot, as a recorder writes it between frames.</summary>
    BlockTime,
}

/// <summary>Takes JSON-RPC frames apart without copying: the lines stay in the frame's own bytes. Reused from frame to frame; one user at a time.</summary>
internal sealed class LogFrameReader
{
    // 1,267 years of slots: more than the chain will see, few enough that counting time from them stays a date.
    private const long MaxSlot = 100_000_000_000;
    private const long MaxSeconds = 7_258_118_400;

    private readonly List<(int Start, int Length, bool IsCopied)> _lines = [];
    private byte[] _copied = new byte[1024];
    private int _copiedLength;
    private int _signatureStart;
    private int _signatureLength;
    private bool _hasLogs;
    private bool _isNotification;

    public long Slot { get; private set; }

    /// <summary>Unix seconds; null if the frame does not say.</summary>
    public long? BlockTime { get; private set; }

    /// <summary>The transaction failed.</summary>
    public bool HasError { get; private set; }

    public int LineCount => _lines.Count;

    public ReadOnlySpan<byte> Signature(ReadOnlySpan<byte> frame) => frame.Slice(_signatureStart, _signatureLength);

    /// <summary>A log line that may matter: one that begins with <c>Program</c> but not <c>Program log:</c>, or with <c>Log</c>.</summary>
    public ReadOnlySpan<byte> Line(ReadOnlySpan<byte> frame, int index)
    {
        var (start, length, isCopied) = _lines[index];
        return isCopied ? _copied.AsSpan(start, length) : frame.Slice(start, length);
    }

    /// <summary>Reads a frame. Never throws for what it holds.</summary>
    public LogFrameKind Read(ReadOnlySpan<byte> frame)
    {
        _lines.Clear();
        _copiedLength = 0;
        _signatureLength = 0;
        _hasLogs = false;
        _isNotification = false;
        Slot = -1;
        BlockTime = null;
        HasError = false;
        try
        {
            return ReadRoot(frame);
        }
        catch (JsonException)
        {
            return LogFrameKind.Malformed;
        }
        catch (InvalidOperationException)
        {
            // An escape that stands for half a character.
            return LogFrameKind.Malformed;
        }
    }

    private LogFrameKind ReadRoot(ReadOnlySpan<byte> frame)
    {
        var json = new Utf8JsonReader(frame);
        if (!json.Read())
        {
            return LogFrameKind.Malformed;
        }

        if (json.TokenType != JsonTokenType.StartObject)
        {
            json.Skip();
            return json.Read() ? LogFrameKind.Malformed : LogFrameKind.Other;
        }

        var ok = true;
        var hasParams = false;
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("params"u8))
            {
                hasParams = true;
                ok &= ReadObject(ref json, frame, Level.Params);
            }
            else if (json.ValueTextEquals("method"u8))
            {
                json.Read();
                _isNotification = json.TokenType == JsonTokenType.String && json.ValueTextEquals("logsNotification"u8);
                json.Skip();
            }
            else if (json.ValueTextEquals("slot"u8))
            {
                ok &= ReadSlot(ref json);
            }
            else if (json.ValueTextEquals("blockTime"u8))
            {
                ok &= ReadBlockTime(ref json);
            }
            else
            {
                json.Read();
                json.Skip();
            }
        }

        // A second value after the first is an error of its own.
        json.Read();
        if (_isNotification)
        {
            return ok && Slot >= 0 && _signatureLength > 0 && _hasLogs ? LogFrameKind.Logs : LogFrameKind.Malformed;
        }

        return hasParams || Slot < 0 || BlockTime is null ? LogFrameKind.Other : ok ? LogFrameKind.BlockTime : LogFrameKind.Malformed;
    }

    private enum Level
    {
        Params,
        Result,
        Context,
        Value,
    }

    private bool ReadObject(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, Level level)
    {
        json.Read();
        if (json.TokenType != JsonTokenType.StartObject)
        {
            json.Skip();
            return false;
        }

        var ok = true;
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            switch (level)
            {
                case Level.Params when json.ValueTextEquals("result"u8):
                    ok &= ReadObject(ref json, frame, Level.Result);
                    break;
                case Level.Result when json.ValueTextEquals("context"u8):
                    ok &= ReadObject(ref json, frame, Level.Context);
                    break;
                case Level.Result when json.ValueTextEquals("value"u8):
                    ok &= ReadObject(ref json, frame, Level.Value);
                    break;
                case Level.Result when json.ValueTextEquals("blockTime"u8):
                    ok &= ReadBlockTime(ref json);
                    break;
                case Level.Context when json.ValueTextEquals("slot"u8):
                    ok &= ReadSlot(ref json);
                    break;
                case Level.Value when json.ValueTextEquals("signature"u8):
                    ok &= ReadSignature(ref json);
                    break;
                case Level.Value when json.ValueTextEquals("err"u8):
                    json.Read();
                    HasError = json.TokenType != JsonTokenType.Null;
                    json.Skip();
                    break;
                case Level.Value when json.ValueTextEquals("logs"u8):
                    ok &= ReadLogs(ref json, frame);
                    break;
                default:
                    json.Read();
                    json.Skip();
                    break;
            }
        }

        return ok;
    }

    private bool ReadSlot(ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType == JsonTokenType.Number && json.TryGetInt64(out var slot) && slot is >= 0 and <= MaxSlot)
        {
            Slot = slot;
            return true;
        }

        json.Skip();
        return false;
    }

    private bool ReadBlockTime(ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType == JsonTokenType.Null)
        {
            return true;
        }

        if (json.TokenType == JsonTokenType.Number && json.TryGetInt64(out var seconds) && seconds is > 0 and < MaxSeconds)
        {
            BlockTime = seconds;
            return true;
        }

        json.Skip();
        return false;
    }

    private bool ReadSignature(ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType != JsonTokenType.String || json.ValueIsEscaped || json.ValueSpan.Length is < 64 or > 88 || !Base58.IsText(json.ValueSpan))
        {
            json.Skip();
            return false;
        }

        _signatureStart = (int)json.TokenStartIndex + 1;
        _signatureLength = json.ValueSpan.Length;
        return true;
    }

    private bool ReadLogs(ref Utf8JsonReader json, ReadOnlySpan<byte> frame)
    {
        json.Read();
        _lines.Clear();
        _hasLogs = true;
        if (json.TokenType == JsonTokenType.Null)
        {
            return true;
        }

        if (json.TokenType != JsonTokenType.StartArray)
        {
            json.Skip();
            return false;
        }

        var ok = true;
        while (json.Read() && json.TokenType != JsonTokenType.EndArray)
        {
            if (json.TokenType != JsonTokenType.String)
            {
                json.Skip();
                ok = false;
                continue;
            }

            var raw = json.ValueSpan;
            if (raw.StartsWith("Program log:"u8) || !(raw.StartsWith("Program "u8) || raw.StartsWith("Log"u8) || raw.StartsWith("\\"u8)))
            {
                continue;
            }

            if (!json.ValueIsEscaped)
            {
                _lines.Add(((int)json.TokenStartIndex + 1, raw.Length, false));
                continue;
            }

            if (_copied.Length - _copiedLength < raw.Length)
            {
                Array.Resize(ref _copied, Math.Max(_copied.Length * 2, _copiedLength + raw.Length));
            }

            var length = json.CopyString(_copied.AsSpan(_copiedLength));
            _lines.Add((_copiedLength, length, true));
            _copiedLength += length;
        }

        return ok;
    }
}

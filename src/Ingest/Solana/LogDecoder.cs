using System.Buffers;
using System.Buffers.Binary;
using System.Buffers.Text;
using System.Text;

namespace KlineOrleans.Ingest.Solana;

/// <summary>An event of a followed program in a transaction that succeeded.</summary>
/// <remarks>Its payload belongs to the decoder until the next frame.</remarks>
internal readonly struct DecodedEvent
{
    public required SolanaProgram Program { get; init; }

    public required TradeMap Map { get; init; }

    /// <summary>Its index among the program's events of the transaction, from 0, whatever became of those before it.</summary>
    public required int Index { get; init; }

    /// <summary>Null if the event carries no trade.</summary>
    public required TradeTerms? Terms { get; init; }

    public required ReadOnlyMemory<byte> Payload { get; init; }
}

/// <summary>Log frames become events: frame, lines, invoke stack, base64, layout. Counts what it leaves out. Reused; one user at a time.</summary>
internal sealed class LogDecoder(ProgramCatalog programs, SkipCounts skipped)
{
    // A trade of a mint that was seen before costs no new string. Past the bound the cache starts anew.
    private const int MaxCachedKeys = 100_000;

    private readonly LogFrameReader _frame = new();
    private readonly InvokeStack _stack = new(programs);
    private readonly List<DecodedEvent> _events = [];
    private readonly Dictionary<PublicKey, string> _keys = [];
    private readonly List<(SolanaProgram Program, int Count)> _counts = [];

    // A frame's payloads lie one after the other; a frame that needs more gets a larger one, and the old one goes with its events.
    private byte[] _payloads = new byte[4096];

    public long Slot => _frame.Slot;

    /// <summary>Unix seconds; null if the frame does not say.</summary>
    public long? BlockTime => _frame.BlockTime;

    public string? Signature { get; private set; }

    /// <summary>The newest frame's transaction failed.</summary>
    public bool HasError => _frame.HasError;

    /// <summary>The newest frame's log was cut by the validator.</summary>
    public bool IsTruncated { get; private set; }

    /// <summary>The signature in the newest frame's own bytes, also where it has no event.</summary>
    public ReadOnlySpan<byte> SignatureIn(ReadOnlySpan<byte> frame) => _frame.Signature(frame);

    /// <summary>The events of the newest frame.</summary>
    public List<DecodedEvent> Events => _events;

    /// <summary>Decodes one frame. Never throws for what it holds.</summary>
    public LogFrameKind Decode(ReadOnlySpan<byte> frame)
    {
        _events.Clear();
        Signature = null;
        IsTruncated = false;
        var kind = _frame.Read(frame);
        switch (kind)
        {
            case LogFrameKind.Malformed:
                skipped.Add(SkipReason.MalformedFrame);
                break;
            case LogFrameKind.Other:
                skipped.Add(SkipReason.NotALog);
                break;
            case LogFrameKind.Logs when _frame.HasError:
                skipped.Add(SkipReason.FailedTransaction);
                break;
            case LogFrameKind.Logs:
                DecodeLines(frame);
                break;
        }

        return kind;
    }

    /// <summary>An address as text, made once.</summary>
    public string Text(PublicKey key)
    {
        if (_keys.TryGetValue(key, out var text))
        {
            return text;
        }

        if (_keys.Count >= MaxCachedKeys)
        {
            _keys.Clear();
        }

        text = key.ToString();
        _keys.Add(key, text);
        return text;
    }

    private void DecodeLines(ReadOnlySpan<byte> frame)
    {
        _stack.Clear();
        _counts.Clear();
        var used = 0;
        var isTruncated = false;
        var hasData = false;
        for (var i = 0; i < _frame.LineCount; i++)
        {
            switch (_stack.Take(_frame.Line(frame, i), out var data))
            {
                case LogLine.Truncated:
                    isTruncated = true;
                    skipped.Add(SkipReason.TruncatedLog);
                    break;
                case LogLine.Data when isTruncated:
                    // Lines before it are missing: nobody can say which program wrote it.
                    hasData = true;
                    skipped.Add(SkipReason.TruncatedLog);
                    break;
                case LogLine.Data:
                    hasData = true;
                    DecodeData(data, ref used);
                    break;
            }
        }

        IsTruncated = isTruncated;
        if (!hasData && !isTruncated)
        {
            skipped.Add(SkipReason.NoEvents);
        }

        if (_events.Count > 0)
        {
            Signature = Encoding.ASCII.GetString(_frame.Signature(frame));
        }
    }

    private void DecodeData(ReadOnlySpan<byte> data, ref int used)
    {
        if (_stack.Top is not { } program)
        {
            skipped.Add(SkipReason.WrongProgram);
            return;
        }

        var index = NextIndex(program);
        if (data.Contains((byte)' '))
        {
            // Several fields: a program's own use of the log. An event is one field.
            skipped.Add(SkipReason.UnknownEvent);
            return;
        }

        var room = Base64.GetMaxDecodedFromUtf8Length(data.Length);
        if (_payloads.Length - used < room)
        {
            _payloads = new byte[Math.Max(_payloads.Length * 2, room)];
            used = 0;
        }

        if (Base64.DecodeFromUtf8(data, _payloads.AsSpan(used), out _, out var length) != OperationStatus.Done)
        {
            skipped.Add(SkipReason.BadBase64);
            return;
        }

        var bytes = _payloads.AsMemory(used, length);
        if (length < 8 || program.Map(BinaryPrimitives.ReadUInt64LittleEndian(bytes.Span)) is not { } map)
        {
            skipped.Add(SkipReason.UnknownEvent);
            return;
        }

        var payload = bytes[8..];
        if (!map.Layout.Fits(payload.Span))
        {
            skipped.Add(SkipReason.UnknownLayout);
            return;
        }

        TradeTerms? terms = null;
        if (!map.IsTrade)
        {
            skipped.Add(SkipReason.NotATrade);
        }
        else
        {
            terms = map.Terms(payload.Span, out var reason);
            if (terms is null)
            {
                skipped.Add(reason);
            }
        }

        used += length;
        _events.Add(new DecodedEvent { Program = program, Map = map, Index = index, Terms = terms, Payload = payload });
    }

    private int NextIndex(SolanaProgram program)
    {
        for (var i = 0; i < _counts.Count; i++)
        {
            if (ReferenceEquals(_counts[i].Program, program))
            {
                _counts[i] = (program, _counts[i].Count + 1);
                return _counts[i].Count - 1;
            }
        }

        _counts.Add((program, 1));
        return 0;
    }
}

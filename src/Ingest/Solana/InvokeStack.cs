using System.Buffers.Text;

namespace KlineOrleans.Ingest.Solana;

/// <summary>What a log line says about which program runs.</summary>
internal enum LogLine
{
    Other,
    Invoke,
    Return,

    /// <summary><c>Program data: </c> and one or more fields in base64.</summary>
    Data,

    /// <summary>The validator cut the log here.</summary>
    Truncated,
}

/// <summary>Which program is running, told by the log lines of a transaction. Reused; one user at a time.</summary>
/// <remarks>
/// Only <c>Program &lt;id&gt; invoke [n]</c> pushes and only <c>Program &lt;id&gt; success</c> or <c>Program &lt;id&gt; failed: ...</c> pops: a program can write a
/// line such as <c>Program log: Parameters updated successfully!</c>. Because of the depth in <c>invoke [n]</c> a lost line does no lasting harm.
/// </remarks>
internal sealed class InvokeStack(ProgramCatalog programs)
{
    // The chain allows 5, and 9 with a feature; anything deeper is no log of a transaction.
    private const int MaxDepth = 64;

    private readonly SolanaProgram?[] _stack = new SolanaProgram?[MaxDepth];
    private int _depth;

    /// <summary>The program that runs now; null if none runs or it is not followed.</summary>
    public SolanaProgram? Top => _depth > 0 ? _stack[_depth - 1] : null;

    public void Clear() => _depth = 0;

    /// <summary>Takes the next line. <paramref name="data"/> is what follows <c>Program data: </c>.</summary>
    public LogLine Take(ReadOnlySpan<byte> line, out ReadOnlySpan<byte> data)
    {
        data = default;
        if (!line.StartsWith("Program "u8))
        {
            return line.SequenceEqual("Log truncated"u8) ? LogLine.Truncated : LogLine.Other;
        }

        var rest = line[8..];
        if (rest.StartsWith("data: "u8))
        {
            data = rest[6..];
            return LogLine.Data;
        }

        var space = rest.IndexOf((byte)' ');
        if (space is < 32 or > 44)
        {
            return LogLine.Other;
        }

        var id = rest[..space];
        rest = rest[(space + 1)..];
        if (rest.StartsWith("invoke ["u8) && Utf8Parser.TryParse(rest[8..], out int depth, out var digits) && rest[(8 + digits)..].SequenceEqual("]"u8) && depth is > 0 and <= MaxDepth && Base58.IsText(id))
        {
            while (_depth < depth - 1)
            {
                _stack[_depth++] = null;
            }

            _stack[depth - 1] = programs.Find(id);
            _depth = depth;
            return LogLine.Invoke;
        }

        if ((rest.SequenceEqual("success"u8) || rest.StartsWith("failed: "u8)) && Base58.IsText(id))
        {
            _depth = Math.Max(0, _depth - 1);
            return LogLine.Return;
        }

        return LogLine.Other;
    }
}

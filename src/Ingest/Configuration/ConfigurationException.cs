using System.Collections.Immutable;

namespace KlineOrleans.Ingest;

/// <summary>The configuration cannot be used. Each error names the key, the value and what is allowed.</summary>
public sealed class ConfigurationException(IEnumerable<string> errors) : Exception
{
    /// <summary>All errors, in the order of the keys as they were read; at least one.</summary>
    public ImmutableArray<string> Errors { get; } = [.. errors];

    /// <summary>One error a line.</summary>
    public override string Message => string.Join(Environment.NewLine, Errors);
}

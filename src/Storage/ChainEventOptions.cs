using Microsoft.Extensions.Options;

namespace KlineOrleans.Storage;

/// <summary>How many chain events are kept. The oldest leave first.</summary>
public sealed class ChainEventOptions
{
    public const string Section = "Kline:Events";

    /// <summary>Events of one mint. 0 to 10,000,000; 0 keeps none, and none is sent to clients. Default: 10,000.</summary>
    public int PerMint { get; set; } = 10_000;

    /// <summary>Events of all mints, about a kilobyte each in the store. 1,000 to 1,000,000,000. Default: 500,000.</summary>
    public long Total { get; set; } = 500_000;
}

internal sealed class ChainEventOptionsValidator : IValidateOptions<ChainEventOptions>
{
    public ValidateOptionsResult Validate(string? name, ChainEventOptions options)
    {
        var failures = new List<string>();
        if (options.PerMint is < 0 or > 10_000_000)
            failures.Add($"{ChainEventOptions.Section}:{nameof(options.PerMint)}: {options.PerMint} is not allowed. Allowed: 0 to 10000000.");
        if (options.Total is < 1_000 or > 1_000_000_000)
            failures.Add($"{ChainEventOptions.Section}:{nameof(options.Total)}: {options.Total} is not allowed. Allowed: 1000 to 1000000000.");
        return failures.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(failures);
    }
}

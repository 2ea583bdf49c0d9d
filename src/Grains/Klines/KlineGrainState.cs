namespace KlineOrleans.Grains;

/// <summary>What a mint's grain must not forget. Owned by the grain; replaced as a whole at each save, never changed in place.</summary>
[GenerateSerializer, Alias("KlineOrleans.KlineGrainState")]
public sealed class KlineGrainState
{
    /// <summary>The source that feeds the mint.</summary>
    [Id(0)]
    public string Source { get; set; } = "";

    /// <summary>The epoch of the activation that wrote this.</summary>
    [Id(1)]
    public long Epoch { get; set; }

    /// <summary>The builder's own compact form (<see cref="KlineBuilder"/>): forming klines, final ones the archive may lack, trades seen.</summary>
    [Id(2)]
    public byte[] Builder { get; set; } = [];
}

namespace KlineOrleans.Web;

/// <summary>What older clients were promised (section <see cref="Section"/>). The empty section runs.</summary>
public sealed class CompatOptions
{
    public const string Section = "Kline:Compat";

    /// <summary>What <c>volume</c> is on the older wires for mints of a chain; an exchange's is always real. Zero or Real. Default: Zero.</summary>
    /// <remarks>The public server sends 0, and front-ends that draw no volume rely on it. <c>base_volume</c> and <c>quote_volume</c> are real either way.</remarks>
    public CompatVolume Volume { get; set; } = CompatVolume.Zero;
}

/// <summary>See <see cref="CompatOptions.Volume"/>.</summary>
public enum CompatVolume
{
    Zero = 0,

    /// <summary>The base volume.</summary>
    Real = 1,
}

using System.Reflection;

namespace KlineOrleans.InProcess;

/// <summary>How the in-process grain engine runs. Read once, when the engine starts.</summary>
public sealed class InProcessGrainEngineOptions
{
    /// <summary>Where grain classes are looked for.</summary>
    public ICollection<Assembly> GrainAssemblies { get; } = [];

    /// <summary>Names of the memory stream providers. Each becomes a keyed service <see cref="Orleans.Streams.IStreamProvider"/>.</summary>
    public ICollection<string> StreamProviders { get; } = [];

    /// <summary>How long a grain may be idle before it leaves memory. Default: 15 minutes.</summary>
    public TimeSpan CollectionAge { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary>How often idle grains are looked for. Default: 1 minute.</summary>
    public TimeSpan CollectionQuantum { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>How long a call may take before its caller gets a <see cref="TimeoutException"/>; the grain goes on. It comes up to 2 s late. Default: 30 s.</summary>
    public TimeSpan ResponseTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long OnActivateAsync may take before its token is cancelled. Default: 30 s.</summary>
    public TimeSpan ActivationTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long OnDeactivateAsync may take; then its token is cancelled and the activation dropped. At the engine's stop all run at once. Default: 30 s.</summary>
    public TimeSpan DeactivationTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Items that wait for one subscriber of one stream; what comes when it is full is dropped for that subscriber and counted. Default: 10,000.</summary>
    public int StreamQueueCapacity { get; set; } = 10_000;

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(CollectionAge, TimeSpan.FromSeconds(1));
        ArgumentOutOfRangeException.ThrowIfLessThan(CollectionQuantum, TimeSpan.FromSeconds(1));
        ArgumentOutOfRangeException.ThrowIfLessThan(ResponseTimeout, TimeSpan.FromMilliseconds(10));
        ArgumentOutOfRangeException.ThrowIfLessThan(ActivationTimeout, TimeSpan.FromMilliseconds(10));
        ArgumentOutOfRangeException.ThrowIfLessThan(DeactivationTimeout, TimeSpan.FromMilliseconds(10));
        ArgumentOutOfRangeException.ThrowIfLessThan(StreamQueueCapacity, 1);
    }
}

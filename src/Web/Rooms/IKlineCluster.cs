using KlineOrleans.Contracts;

namespace KlineOrleans.Web;

/// <summary>What the web room needs of the grains. Thread safe.</summary>
/// <remarks>
/// Two calls and a stream, so that a test can reorder, lose and delay them: the engines do that too rarely to be tested against.
/// </remarks>
internal interface IKlineCluster
{
    /// <summary>Follows a mint's updates. Once this returns no update published later is left out, unless the stream loses it.</summary>
    /// <param name="onUpdate">Called one update at a time, in the stream's order. Must not block.</param>
    Task<IAsyncDisposable> Subscribe(string symbol, Action<KlineUpdate> onUpdate);

    /// <inheritdoc cref="IKlineGrain.GetSnapshot"/>
    Task<KlineSnapshot> GetSnapshot(string symbol);

    /// <inheritdoc cref="ISourceGrain.GetStatus"/>
    Task<SourceStatus> GetStatus(string source);
}

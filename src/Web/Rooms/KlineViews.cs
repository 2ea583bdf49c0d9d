using KlineOrleans.Contracts;

namespace KlineOrleans.Web;

/// <summary>The newest klines of any symbol: from its feed while it is followed, else by one call to its grain. Thread safe.</summary>
internal sealed class KlineViews(IKlineCluster cluster, MintFeeds feeds)
{
    public ValueTask<KlineView> Get(string symbol, KlineInterval interval) =>
        feeds.TryGetView(symbol, 1 << (int)interval, out var view) ? ValueTask.FromResult(view) : new ValueTask<KlineView>(Ask(symbol));

    private async Task<KlineView> Ask(string symbol) => KlineView.Of(await cluster.GetSnapshot(symbol));
}

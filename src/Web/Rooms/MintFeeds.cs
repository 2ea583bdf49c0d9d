using System.Diagnostics.CodeAnalysis;

namespace KlineOrleans.Web;

internal sealed class MintFeeds
{
    public bool TryGetView(string symbol, int intervals, [NotNullWhen(true)] out KlineView? view)
    {
        view = null;
        return false;
    }
}

using System.Diagnostics;

namespace KlineOrleans.Web;

/// <summary>Spans of this room, on the source <see cref="SourceName"/>: a read of history. Without a listener they cost a look at a field.</summary>
public static class WebTraces
{
    public const string SourceName = "KlineOrleans.Web";

    internal static readonly ActivitySource Source = new(SourceName);
}

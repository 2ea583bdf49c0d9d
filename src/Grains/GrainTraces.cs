using System.Diagnostics;

namespace KlineOrleans.Grains;

/// <summary>Spans of this room, on the source <see cref="SourceName"/>: a batch on its way to a grain, a save, a checkpoint. Without a listener they cost a look at a field.</summary>
public static class GrainTraces
{
    public const string SourceName = "KlineOrleans.Grains";

    internal static readonly ActivitySource Source = new(SourceName);

    internal static void Failed(this Activity? span, Exception error) => span?.SetStatus(ActivityStatusCode.Error, error.Message);
}

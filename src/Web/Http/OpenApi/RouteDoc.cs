using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web;

/// <summary>On an endpoint: what OpenAPI says of it. A route under /api or /udf without one fails a test.</summary>
/// <param name="Id">The operation's id: the method's name in a generated client.</param>
/// <param name="Answer">The name of a schema, or <c>text/plain</c>.</param>
internal sealed record RouteDoc(string Id, string Tag, string Summary, string Answer)
{
    public ImmutableArray<ParameterDoc> Parameters { get; init; } = [];

    /// <summary>The schema of the request's body; null: none.</summary>
    public string? Body { get; init; }
}

/// <summary>A parameter. <paramref name="Type"/> is JSON Schema's.</summary>
internal sealed record ParameterDoc(string Name, string In, bool Required, string Type, string Description)
{
    public long? Minimum { get; init; }

    public long? Maximum { get; init; }

    public string? Default { get; init; }

    public ImmutableArray<string> Values { get; init; } = [];
}

/// <summary>Parameters in few words.</summary>
internal static class Doc
{
    public static ParameterDoc Page { get; } = Number("page", 1, CompatRoutes.Deepest, 1, $"Times limit at most {CompatRoutes.Deepest}.");

    public static ParameterDoc PageLimit { get; } = Number("limit", 1, CompatRoutes.MaxLimit, CompatRoutes.DefaultLimit);

    public static ParameterDoc Exact { get; } = new("exact", "query", false, "boolean", "Prices and volumes as decimal strings.") { Default = "false" };

    public static ParameterDoc Path(string name, string description) => new(name, "path", true, "string", description);

    public static ParameterDoc Query(string name, string description, bool required = false) => new(name, "query", required, "string", description);

    public static ParameterDoc Interval(string place) =>
        new("interval", place, true, "string", "The length of a kline's bucket; also as 1s to 1w.") { Values = [.. KlineIntervals.All.Select(i => i.Name()), .. KlineIntervals.All.Select(i => i.ExchangeName())] };

    public static ParameterDoc Choice(string name, string byDefault, params ReadOnlySpan<string> values) =>
        new(name, "query", false, "string", "The order.") { Default = byDefault, Values = [.. values] };

    public static ParameterDoc Milliseconds(string name, string description) => new(name, "query", false, "integer", description);

    public static ParameterDoc Number(string name, long minimum, long maximum, long? byDefault, string description = "") => new(name, "query", false, "integer", description)
    {
        Minimum = minimum == long.MinValue ? null : minimum,
        Maximum = maximum is long.MaxValue or int.MaxValue ? null : maximum,
        Default = byDefault?.ToString(System.Globalization.CultureInfo.InvariantCulture),
    };
}

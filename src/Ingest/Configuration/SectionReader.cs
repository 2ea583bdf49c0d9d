using System.Globalization;
using Microsoft.Extensions.Configuration;

namespace KlineOrleans.Ingest;

/// <summary>Reads one section by hand, so that a wrong value gives a sentence instead of a binder's exception, and a key that nobody reads is refused.</summary>
internal sealed class SectionReader(IConfigurationSection section, List<string> errors)
{
    private readonly HashSet<string> _known = new(StringComparer.OrdinalIgnoreCase);

    public string Path => section.Path;

    public IConfigurationSection Child(string key)
    {
        _known.Add(key);
        return section.GetSection(key);
    }

    public string? Text(string key, string? allowed = null)
    {
        var child = Child(key);
        if (child.GetChildren().Any())
        {
            Refuse(child, "a section", allowed ?? "one value");
            return null;
        }

        return string.IsNullOrWhiteSpace(child.Value) ? null : child.Value.Trim();
    }

    /// <summary>A name of <typeparamref name="T"/>; numbers are none.</summary>
    public T? Choice<T>(string key)
        where T : struct, Enum
    {
        var allowed = string.Join(", ", Enum.GetNames<T>());
        if (Text(key, allowed) is not { } text)
        {
            return null;
        }

        if (char.IsAsciiLetter(text[0]) && Enum.TryParse<T>(text, ignoreCase: true, out var value) && Enum.IsDefined(value))
        {
            return value;
        }

        Refuse(key, text, allowed);
        return null;
    }

    public double Number(string key, double fallback, double min, double max) =>
        Value(key, fallback, $"a number from {min.ToString("N0", CultureInfo.InvariantCulture)} to {max.ToString("N0", CultureInfo.InvariantCulture)}", text =>
            double.TryParse(text, NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var v) && v >= min && v <= max ? v : null);

    public long Integer(string key, long fallback, long min, long max) =>
        Value(key, fallback, min == long.MinValue ? "a whole number of 64 bits" : $"a whole number from {min} to {max}", text =>
            long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var v) && v >= min && v <= max ? v : null);

    public bool Flag(string key, bool fallback) =>
        Value(key, fallback, "true or false", text => bool.TryParse(text, out var v) ? v : null);

    public TimeSpan Duration(string key, TimeSpan fallback, TimeSpan min, TimeSpan max) =>
        Value(key, fallback, $"hh:mm:ss or d.hh:mm:ss from {min:c} to {max:c}", text =>
            //// Without a colon the platform reads days, which nobody means who writes 15.
            text.Contains(':', StringComparison.Ordinal) && TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var v) && v >= min && v <= max ? v : null);

    public DateTimeOffset Moment(string key, DateTimeOffset fallback) =>
        Value(key, fallback, "a time in UTC such as 2020-03-16T14:29:00Z, from 1970 to 2200", text =>
            DateTimeOffset.TryParseExact(text, ["yyyy-MM-dd'T'HH:mm:ss'Z'", "yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'"], CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var v) && v.Year is >= 1970 and < 2200 ? v : null);

    public void Refuse(string key, string value, string allowed) => Refuse(section.GetSection(key), $"'{value}'", allowed);

    public void Missing(string key, string allowed) => errors.Add($"{section.GetSection(key).Path}: missing. Allowed: {allowed}.");

    /// <summary>A reader of another section with the same list of errors.</summary>
    public SectionReader At(IConfigurationSection other) => new(other, errors);

    public void RefuseAt(IConfigurationSection at, string value, string allowed) => Refuse(at, $"'{value}'", allowed);

    /// <summary>Refuses every key that was not asked for.</summary>
    public void RefuseOthers()
    {
        foreach (var child in section.GetChildren())
        {
            if (!_known.Contains(child.Key))
            {
                errors.Add($"{child.Path}: no such key here. Allowed: {string.Join(", ", _known)}.");
            }
        }
    }

    private T Value<T>(string key, T fallback, string allowed, Func<string, T?> parse)
        where T : struct
    {
        if (Text(key, allowed) is not { } text)
        {
            return fallback;
        }

        if (parse(text) is { } value)
        {
            return value;
        }

        Refuse(key, text, allowed);
        return fallback;
    }

    private void Refuse(IConfigurationSection at, string value, string allowed) => errors.Add($"{at.Path}: {value} is not allowed. Allowed: {allowed}.");
}

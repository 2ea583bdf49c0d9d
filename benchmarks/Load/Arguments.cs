using System.Globalization;

namespace KlineOrleans.Benchmarks.Load;

/// <summary>The command line as <c>--key value</c>. A key nobody asks for is a mistake, told at the end of reading.</summary>
internal sealed class Arguments
{
    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);
    private readonly HashSet<string> _read = new(StringComparer.Ordinal);

    public static Arguments Parse(string[] args)
    {
        var result = new Arguments();
        for (var i = 0; i < args.Length; i++)
        {
            if (!args[i].StartsWith("--", StringComparison.Ordinal))
            {
                throw new ArgumentException($"'{args[i]}' is no option. Options are --key value; ./load --help names them.");
            }

            var equals = args[i].IndexOf('=', StringComparison.Ordinal);
            if (equals > 0)
            {
                result._values[args[i][2..equals]] = args[i][(equals + 1)..];
            }
            else if (i + 1 < args.Length)
            {
                result._values[args[i][2..]] = args[++i];
            }
            else
            {
                throw new ArgumentException($"{args[i]}: the value is missing.");
            }
        }

        return result;
    }

    public bool Has(string key) => _values.ContainsKey(key);

    public string Text(string key, string defaultValue)
    {
        _read.Add(key);
        return _values.GetValueOrDefault(key, defaultValue);
    }

    /// <exception cref="ArgumentException">It is no whole number.</exception>
    public int Int(string key, int defaultValue) => int.TryParse(Text(key, defaultValue.ToString(CultureInfo.InvariantCulture)), CultureInfo.InvariantCulture, out var value)
        ? value
        : throw new ArgumentException($"--{key} {_values[key]}: a whole number is wanted.");

    /// <exception cref="ArgumentException">It is no number.</exception>
    public double Double(string key, double defaultValue) => Number(key, Text(key, defaultValue.ToString(CultureInfo.InvariantCulture)));

    /// <summary>Numbers with commas between.</summary>
    /// <exception cref="ArgumentException">One is no number.</exception>
    public double[] Doubles(string key, string defaultValue) => [.. Text(key, defaultValue).Split(',', StringSplitOptions.RemoveEmptyEntries).Select(n => Number(key, n))];

    /// <exception cref="ArgumentException">An option was given that does not exist.</exception>
    public void CheckAllRead()
    {
        var unknown = _values.Keys.Where(k => !_read.Contains(k)).ToList();
        if (unknown.Count > 0)
        {
            throw new ArgumentException($"--{unknown[0]} is no option here. There are: {string.Join(", ", _read.Order(StringComparer.Ordinal).Select(k => "--" + k))}.");
        }
    }

    private static double Number(string key, string text) => double.TryParse(text, CultureInfo.InvariantCulture, out var value) && double.IsFinite(value)
        ? value
        : throw new ArgumentException($"--{key} {text}: a number is wanted.");
}

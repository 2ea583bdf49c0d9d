using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace KlineOrleans.Web;

/// <summary>Times in the notation of C's strftime, which the public server's /api/time takes.</summary>
internal static class StrfTime
{
    public const string Allowed = "text of at most 100 characters with %Y %m %d %H %M %S %y %e %j %I %p %a %A %b %B %f %3f %6f %9f %z %:z %Z %s %F %T %D %R %u %w %%";

    private const int Longest = 100;

    public static bool TryFormat(DateTimeOffset time, string format, [NotNullWhen(true)] out string? text)
    {
        text = null;
        if (format.Length > Longest)
        {
            return false;
        }

        var result = new StringBuilder();
        for (var i = 0; i < format.Length; i++)
        {
            if (format[i] != '%')
            {
                result.Append(format[i]);
                continue;
            }

            i++;
            var width = i + 1 < format.Length && format[i] is '3' or '6' or '9' or ':' ? format[i++] : '\0';
            if (i >= format.Length || Field(time, width, format[i]) is not { } field)
            {
                return false;
            }

            result.Append(field);
        }

        text = result.ToString();
        return true;
    }

    private static string? Field(DateTimeOffset time, char width, char field)
    {
        var nanoseconds = time.UtcTicks % TimeSpan.TicksPerSecond * 100;
        return (width, field) switch
        {
            ('3', 'f') => Number(nanoseconds / 1_000_000, 3),
            ('6', 'f') => Number(nanoseconds / 1_000, 6),
            ('9', 'f') or ('\0', 'f') => Number(nanoseconds, 9),
            (':', 'z') => Offset(time, ":"),
            (not '\0', _) => null,
            (_, 'Y') => Number(time.Year, 4),
            (_, 'm') => Number(time.Month, 2),
            (_, 'd') => Number(time.Day, 2),
            (_, 'H') => Number(time.Hour, 2),
            (_, 'M') => Number(time.Minute, 2),
            (_, 'S') => Number(time.Second, 2),
            (_, 'y') => Number(time.Year % 100, 2),
            (_, 'e') => time.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
            (_, 'j') => Number(time.DayOfYear, 3),
            (_, 'I') => Number(time.Hour % 12 is 0 ? 12 : time.Hour % 12, 2),
            (_, 'p') => time.Hour < 12 ? "AM" : "PM",
            (_, 'a') => time.ToString("ddd", CultureInfo.InvariantCulture),
            (_, 'A') => time.ToString("dddd", CultureInfo.InvariantCulture),
            (_, 'b') => time.ToString("MMM", CultureInfo.InvariantCulture),
            (_, 'B') => time.ToString("MMMM", CultureInfo.InvariantCulture),
            (_, 'z') => Offset(time, ""),
            (_, 'Z') => time.Offset == TimeSpan.Zero ? "UTC" : Offset(time, ":"),
            (_, 's') => time.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture),
            (_, 'F') => time.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
            (_, 'T') => time.ToString("HH:mm:ss", CultureInfo.InvariantCulture),
            (_, 'D') => time.ToString("MM/dd/yy", CultureInfo.InvariantCulture),
            (_, 'R') => time.ToString("HH:mm", CultureInfo.InvariantCulture),
            (_, 'u') => Number(time.DayOfWeek == DayOfWeek.Sunday ? 7 : (int)time.DayOfWeek, 1),
            (_, 'w') => Number((int)time.DayOfWeek, 1),
            (_, '%') => "%",
            _ => null,
        };
    }

    private static string Number(long value, int digits) => value.ToString(CultureInfo.InvariantCulture).PadLeft(digits, '0');

    private static string Offset(DateTimeOffset time, string separator)
    {
        var offset = time.Offset.Duration();
        return (time.Offset < TimeSpan.Zero ? "-" : "+") + Number(offset.Hours, 2) + separator + Number(offset.Minutes, 2);
    }
}

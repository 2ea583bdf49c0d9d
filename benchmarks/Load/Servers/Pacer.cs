using System.Diagnostics;
using System.Runtime.InteropServices;

namespace KlineOrleans.Benchmarks.Load;

/// <summary>Calls back for each update that is due, at a rate that can be changed while it runs. One thread.</summary>
/// <remarks>The stamp is the moment at which the update was due, not at which the thread came to it: a server that is late shows it.</remarks>
internal sealed partial class Pacer
{
    private readonly Action<long, long> _update;
    private double _rate;
    private volatile int _version;

    /// <param name="update">Gets the number of the update and its stamp: microseconds since 1970 modulo <see cref="LoadClient.StampModulus"/>, plus 1.</param>
    public Pacer(Action<long, long> update)
    {
        _update = update;
        new Thread(Run) { IsBackground = true, Name = "pacer" }.Start();
    }

    /// <summary>Updates a second; 0 for none.</summary>
    public double Rate
    {
        get => Volatile.Read(ref _rate);
        set
        {
            Volatile.Write(ref _rate, value);
            _version++;
        }
    }

    private void Run()
    {
        var number = 0L;
        while (true)
        {
            var version = _version;
            var rate = Rate;
            if (rate <= 0)
            {
                _ = usleep(5_000);
                continue;
            }

            var started = Stopwatch.GetTimestamp();
            var startedAt = (TimeProvider.System.GetUtcNow().Ticks - DateTimeOffset.UnixEpoch.Ticks) / 10;
            for (var i = 1L; version == _version; i++)
            {
                var due = i * 1e6 / rate;
                var wait = due - (Stopwatch.GetElapsedTime(started).Ticks / 10.0);
                while (wait > 0)
                {
                    _ = usleep((uint)Math.Max(50, wait));
                    wait = due - (Stopwatch.GetElapsedTime(started).Ticks / 10.0);
                }

                _update(++number, ((startedAt + (long)due) % LoadClient.StampModulus) + 1);
            }
        }
    }

    [LibraryImport("libc")]
    private static partial int usleep(uint microseconds);
}

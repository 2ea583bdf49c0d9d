namespace KlineOrleans.Web;

/// <summary>Lets so many requests through a second in the long run, and so many at once. Thread safe.</summary>
internal sealed class RateLimit(int perSecond, int burst, TimeProvider time)
{
    private readonly Lock _lock = new();
    private double _left = burst;
    private long _at = time.GetTimestamp();

    /// <summary>Refused since the last that was let through.</summary>
    public int Refused { get; private set; }

    /// <summary>Since the last request, or since it was made.</summary>
    public TimeSpan Idle
    {
        get
        {
            lock (_lock)
            {
                return time.GetElapsedTime(_at);
            }
        }
    }

    /// <summary>Whether as many as ever are let through at once now: nobody has asked lately.</summary>
    public bool IsFull
    {
        get
        {
            lock (_lock)
            {
                return _left + (time.GetElapsedTime(_at).TotalSeconds * perSecond) >= burst;
            }
        }
    }

    public bool TryTake()
    {
        lock (_lock)
        {
            var now = time.GetTimestamp();
            _left = Math.Min(burst, _left + (time.GetElapsedTime(_at, now).TotalSeconds * perSecond));
            _at = now;
            if (_left < 1)
            {
                Refused++;
                return false;
            }

            _left--;
            Refused = 0;
            return true;
        }
    }
}

namespace KlineOrleans.Testing.Binance;

/// <summary>What a venue does wrong, as parts of 1. Change it while it runs; everything is drawn from one seed.</summary>
public sealed class VenueFaults
{
    /// <summary>A frame is not sent.</summary>
    public double Lose { get; set; }

    /// <summary>A frame is sent twice.</summary>
    public double Duplicate { get; set; }

    /// <summary>A frame changes places with the one after it, if that is of another symbol.</summary>
    public double Reorder { get; set; }

    /// <summary>A frame comes in pieces.</summary>
    public double Fragment { get; set; }

    /// <summary>The connection ends before a frame, without a word.</summary>
    public double Drop { get; set; }

    /// <summary>A frame of nonsense is sent before a frame.</summary>
    public double Garble { get; set; }

    /// <summary>A REST request is answered 429.</summary>
    public double Refuse { get; set; }

    /// <summary>What Retry-After says then, in seconds; null: nothing.</summary>
    public int? RetryAfter { get; set; } = 0;

    /// <summary>A REST request is answered 500 or with half an answer.</summary>
    public double Break { get; set; }

    /// <summary>So many of the newest trades of each symbol are not in REST answers yet.</summary>
    public int RestLag { get; set; }

    /// <summary>Everything at once, as often as the chaos tests want it.</summary>
    public void Begin()
    {
        Lose = 0.05;
        Duplicate = 0.05;
        Reorder = 0.05;
        Fragment = 0.05;
        Garble = 0.01;
        Drop = 0.001;
        Refuse = 0.1;
        Break = 0.05;
        RestLag = 3;
    }
}

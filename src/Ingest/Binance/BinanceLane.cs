namespace KlineOrleans.Ingest.Binance;

/// <summary>One symbol's sequence of trades: what comes next, and what waits because something before it is missing. Belongs to the source's reading loop.</summary>
internal sealed class BinanceLane(BinanceSymbol symbol, string stream, BinanceShard shard)
{
    /// <summary>Trades that wait, by id.</summary>
    public SortedList<long, RestTrade> Waiting { get; } = [];

    public BinanceSymbol Symbol => symbol;

    public string Name => symbol.Name;

    public string Stream => stream;

    public BinanceShard Shard => shard;

    /// <summary>The id of the next trade to give.</summary>
    public long Next { get; set; }

    /// <summary>Knows where it stands; until then its trades wait.</summary>
    public bool HasBegun { get; set; }

    /// <summary>Its beginning is being fetched.</summary>
    public bool IsBeginning { get; set; }

    /// <summary>Catches up from its beginning. Nothing of it can be final wrongly yet, so that the source's clock does not wait for it.</summary>
    public bool IsFirstFill { get; set; }

    /// <summary>Trades may be missing: a page of them is under way or will be.</summary>
    public bool HasGap { get; set; }

    public bool IsFetching { get; set; }

    public bool IsGone { get; set; }

    /// <summary>The newest id known to exist: the gap is not closed before it is given.</summary>
    public long Target { get; set; } = -1;

    /// <summary>Counts the wishes to reach the venue's newest trade; a page asked for before a wish does not grant it.</summary>
    public int EndWished { get; set; }

    /// <summary>The newest granted wish.</summary>
    public int EndReached { get; set; }

    public TimeSpan Retry { get; set; }

    /// <summary>The newest of the exchange's own trade ids that was given; -1 if unknown.</summary>
    public long LastId { get; set; } = -1;

    /// <summary>Trades before it are in the history that the symbol began with.</summary>
    public DateTimeOffset From { get; set; } = DateTimeOffset.MinValue;

    /// <summary>Newest event time given while <see cref="IsFirstFill"/>.</summary>
    public DateTimeOffset FirstFillTime { get; set; } = DateTimeOffset.MinValue;

    private const int MostScansBetween = 63;
    private long _askedFor = -1;
    private int _scansBetween;
    private int _scansLeft;

    /// <summary>
    /// Whether to fetch what a scan says is newer than all that was given. For one id ever less often: either the venue's trades lag behind its list of ids, and then come,
    /// or (on the futures venues) the id is of a trade that it leaves out of its aggregate trades, and nothing ever will. It cannot be told which.
    /// </summary>
    public bool MayAskFor(long id)
    {
        if (id != _askedFor)
        {
            (_askedFor, _scansBetween, _scansLeft) = (id, 0, 0);
        }

        if (_scansLeft > 0)
        {
            _scansLeft--;
            return false;
        }

        _scansLeft = _scansBetween;
        _scansBetween = Math.Min((_scansBetween * 2) + 1, MostScansBetween);
        return true;
    }
}

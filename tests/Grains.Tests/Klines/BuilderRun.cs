using System.Buffers;
using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Grains.Tests;

/// <summary>Drives a <see cref="KlineBuilder"/> as its grain does: publishing, saving, restarting, reading history back. Checks what is published as it goes.</summary>
internal sealed class BuilderRun(KlineRules rules)
{
    /// <summary>What the archive holds.</summary>
    public Dictionary<(KlineInterval, DateTimeOffset), Kline> Archive { get; } = [];

    /// <summary>What a client that heard every update holds.</summary>
    public Dictionary<(KlineInterval, DateTimeOffset), Kline> Client { get; } = [];

    public KlineBuilder Builder { get; private set; } = new(rules);

    public int HistoryReads { get; private set; }

    private DateTimeOffset _published;

    public ApplyResult Apply(Trade trade)
    {
        // A batch is published whole, and tells at most the newest thousand flat klines: none here spans more.
        if (trade.ReceivedTime - _published > TimeSpan.FromMinutes(10))
        {
            _published = trade.ReceivedTime;
            Publish();
        }

        if (Builder.NeedsHistory(trade))
        {
            HistoryReads++;
            var from = Builder.HistoryFrom(trade);
            var klines = Archive.Values.Where(k => k.EndTime > from).OrderBy(k => k.Interval).ThenBy(k => k.OpenTime).ToList();
            var before = rules.Intervals.Select(interval => Archive.Values
                .Where(k => k.Interval == interval && k.OpenTime < interval.OpenTime(from))
                .OrderBy(k => k.OpenTime)
                .Select(k => (Kline?)k)
                .LastOrDefault()).ToArray();
            Builder.AddHistory(klines, from, before);
        }

        return Builder.Apply(trade);
    }

    /// <summary>Begins from another's klines, as the grain does after the pump has written the final ones.</summary>
    public void Begin(SymbolKlines history)
    {
        foreach (var kline in history.Klines)
        {
            Archive[(kline.Interval, kline.OpenTime)] = kline;
        }

        var before = rules.Intervals.Select(interval => Archive.Values
            .Where(k => k.Interval == interval && k.OpenTime < interval.OpenTime(history.From))
            .OrderBy(k => k.OpenTime)
            .Select(k => (Kline?)k)
            .LastOrDefault()).ToArray();
        Builder.BeginFrom(history.From, history.Forming.AsSpan(), history.Unknown.AsSpan(), before);

        // A new epoch: clients ask for a snapshot.
        Client.Clear();
        _published = history.From;
        Publish();
    }

    public List<Kline> Publish()
    {
        var klines = ImmutableArray.CreateBuilder<Kline>();
        Builder.TakeChanges(klines);
        foreach (var kline in klines)
        {
            Hear(kline);
        }

        return [.. klines];
    }

    public void Save(bool restart)
    {
        Publish();
        var output = new ArrayBufferWriter<byte>();
        var finals = new List<Kline>();
        Builder.TakeUnarchived(finals);
        Builder.Write(new StateWriter(output));
        foreach (var kline in finals)
        {
            Assert.True(kline.IsFinal);
            Assert.False(kline.IsFlat);
            Archive[(kline.Interval, kline.OpenTime)] = kline;
        }

        if (restart)
        {
            var reader = new StateReader(output.WrittenSpan);
            Builder = KlineBuilder.Read(rules, ref reader);
            Assert.True(reader.AtEnd);
        }
        else
        {
            Builder.ArchiveTaken();
        }
    }

    /// <summary>All klines with trades: the archive's, and those still held, which win.</summary>
    public Dictionary<(KlineInterval, DateTimeOffset), Kline> Klines()
    {
        var result = new Dictionary<(KlineInterval, DateTimeOffset), Kline>(Archive);
        var held = ImmutableArray.CreateBuilder<Kline>();
        Builder.CopyTo(held);
        foreach (var kline in held)
        {
            result[(kline.Interval, kline.OpenTime)] = kline;
        }

        return result;
    }

    private void Hear(Kline kline)
    {
        var key = (kline.Interval, kline.OpenTime);
        if (Client.TryGetValue(key, out var known))
        {
            if (known.IsFinal)
            {
                Assert.True(kline.IsFinal, $"{kline.Interval} {kline.OpenTime:O} was final and is forming again.");
                Assert.True(kline.Revision > known.Revision, $"{kline.Interval} {kline.OpenTime:O} came as final twice with revision {kline.Revision} after {known.Revision}.");
            }
            else
            {
                // Final for the first time: revision 0, unless it opened with a correction (a bucket that was empty when it became final).
                Assert.True(kline.Revision == 0 || kline.IsFinal);
            }
        }

        Client[key] = kline;
    }
}

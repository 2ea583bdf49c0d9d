using System.Collections.Concurrent;
using System.Globalization;
using KlineOrleans.Testing.Clients;

namespace KlineOrleans.Silo.Tests.Delivery;

/// <summary>What the clients of a churn share: how many operations are left, who witnesses, and what went wrong. Thread safe.</summary>
internal sealed class ChurnRun(Uri address, HttpClient http, IReadOnlyList<string> symbols, IReadOnlyList<string> intervals, Witness witness, int operations, double operationsPerSecond)
{
    /// <summary>How many updates the server keeps for clients that come back.</summary>
    public const int Ring = 64;

    private readonly long _start = TimeProvider.System.GetTimestamp();
    private readonly ConcurrentQueue<string> _violations = [];
    private readonly ConcurrentQueue<(Wire Wire, Subscription Subscription)> _ended = [];
    private int _operations;
    private long _klines;
    private int _recovered;
    private int _refused;
    private int _subscriptions;
    private long _unwitnessed;

    public Uri Address => address;

    public HttpClient Http => http;

    public IReadOnlyList<string> Symbols => symbols;

    public IReadOnlyList<string> Intervals => intervals;

    public Witness Witness => witness;

    public IReadOnlyCollection<string> Violations => _violations;

    public string Figures => string.Create(
        CultureInfo.InvariantCulture,
        $"{Math.Min(_operations, operations)} operations in {TimeProvider.System.GetElapsedTime(_start).TotalSeconds:0} s, {_subscriptions} subscriptions checked, {_klines} klines received ({_unwitnessed} of them left out for the witness), resumes: {_recovered} recovered, {_refused} not, {_violations.Count} violations");

    /// <summary>Waits for the next operation's time; false if none is left.</summary>
    public async Task<bool> NextOperation()
    {
        var number = Interlocked.Increment(ref _operations);
        if (number > operations)
        {
            return false;
        }

        var due = TimeSpan.FromSeconds(number / operationsPerSecond) - TimeProvider.System.GetElapsedTime(_start);
        if (due > TimeSpan.FromMilliseconds(1))
        {
            await Task.Delay(due, TimeProvider.System);
        }

        return true;
    }

    public void Took(int klines) => Interlocked.Add(ref _klines, klines);

    public void Resumed(bool recovered) => Interlocked.Increment(ref recovered ? ref _recovered : ref _refused);

    public void Violation(Wire wire, string what)
    {
        if (_violations.Count < 1_000)
        {
            _violations.Enqueue($"{wire}: {what}");
        }
    }

    /// <summary>A subscription is over: it is checked once the witness has seen what it saw.</summary>
    public void Ended(Wire wire, Subscription subscription, string? wrong)
    {
        if (wrong is not null)
        {
            Violation(wire, $"{subscription.Symbol}: {wrong}");
        }

        _ended.Enqueue((wire, subscription));
    }

    /// <summary>Checks what has ended.</summary>
    /// <param name="isLast">The witness has seen everything.</param>
    public void CheckEnded(bool isLast)
    {
        for (var left = _ended.Count; left > 0 && _ended.TryDequeue(out var ended); left--)
        {
            if (!isLast && ended.Subscription.Last > witness.Of(ended.Subscription.Symbol).Last)
            {
                _ended.Enqueue(ended);
                continue;
            }

            var wrong = ended.Subscription.Check(witness.Of(ended.Subscription.Symbol), isOpen: false);
            if (wrong is not null && !isLast && ended.Wire == Wire.Live)
            {
                // Without positions it does not show whether the witness is only late.
                _ended.Enqueue(ended);
                continue;
            }

            Interlocked.Increment(ref _subscriptions);
            if (wrong is not null)
            {
                Violation(ended.Wire, $"{ended.Subscription.Symbol} {string.Join(',', ended.Subscription.Intervals)}: {wrong}");
            }

            _unwitnessed += ended.Subscription.Unwitnessed;
        }
    }
}

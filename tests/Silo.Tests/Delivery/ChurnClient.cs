using KlineOrleans.Testing.Clients;

namespace KlineOrleans.Silo.Tests.Delivery;

/// <summary>One client that subscribes, unsubscribes, is cut off and comes back at random, and keeps what it gets.</summary>
internal sealed class ChurnClient(Wire wire, int seed, ChurnRun run)
{
    private const int MostFollowed = 4;
    private const int Limit = 10;

    private readonly Lock _lock = new();
    private readonly Random _random = new(seed);
    private readonly Dictionary<string, Subscription> _followed = [];
    private KlineClient? _client;
    private Task _reading = Task.CompletedTask;
    private TaskCompletionSource<WireMessage>? _answer;
    private WirePosition? _resume;
    private string _asked = "";
    private IReadOnlyList<string> _wanted = [];
    private bool _isEnding;

    /// <summary>Acts until there are no operations left.</summary>
    public async Task Run()
    {
        await Connect();
        while (await run.NextOperation())
        {
            var dice = _random.Next(100);
            if (_followed.Count == 0 || (dice < 40 && _followed.Count < MostFollowed))
            {
                await Subscribe(run.Symbols[_random.Next(run.Symbols.Count)], Intervals(), resume: null);
            }
            else if (dice < 60)
            {
                await Unsubscribe();
            }
            else if (dice < 80)
            {
                await SubscribeAgain();
            }
            else
            {
                await GoAndComeBack();
            }
        }
    }

    /// <summary>Waits until everything that is followed has come, and checks it.</summary>
    public async Task Finish()
    {
        foreach (var subscription in _followed.Values.ToList())
        {
            // Its last update is on its way at most.
            for (var i = 0; i < 200 && Check(subscription, isOpen: true) is not null; i++)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System);
            }

            run.Ended(wire, subscription, Check(subscription, isOpen: true));
        }

        Cut();
        await _reading;
    }

    private string? Check(Subscription subscription, bool isOpen)
    {
        lock (_lock)
        {
            return subscription.Check(run.Witness.Of(subscription.Symbol), isOpen);
        }
    }

    private async Task Connect()
    {
        _isEnding = false;
        _client = await KlineClient.Connect(wire, run.Address, run.Http);
        _reading = Read(_client);
    }

    private IReadOnlyList<string> Intervals() => wire switch
    {
        Wire.Live => run.Intervals,
        Wire.Hub => [.. run.Intervals.Where(_ => _random.Next(2) == 0).DefaultIfEmpty(run.Intervals[0])],
        _ => [run.Intervals[_random.Next(run.Intervals.Count)]],
    };

    private string Key(string symbol, string interval) => wire is Wire.Hub or Wire.Live ? symbol : symbol + " " + interval;

    private async Task Subscribe(string symbol, IReadOnlyList<string> intervals, WirePosition? resume)
    {
        _resume = resume;
        _asked = Key(symbol, intervals[0]);
        _wanted = intervals;
        var known = run.Witness.Of(symbol).Last;
        var answer = await Ask(client => client.Subscribe(symbol, intervals, resume, Limit));
        if (answer.Kind == WireMessageKind.Confirmed && resume is { } position)
        {
            run.Resumed(answer.Recovered);
            if (!answer.Recovered && known - position.Seq < ChurnRun.Ring / 2)
            {
                run.Violation(wire, $"{symbol}: not recovered from {position.Seq}, though the newest was {known} when it asked");
            }
        }
    }

    private async Task SubscribeAgain()
    {
        Subscription followed;
        lock (_lock)
        {
            followed = _followed.Values.ElementAt(_random.Next(_followed.Count));
        }

        await Subscribe(followed.Symbol, wire == Wire.Hub ? Intervals() : [.. followed.Intervals], _random.Next(2) == 0 ? followed.Position : null);
    }

    private async Task Unsubscribe()
    {
        string key;
        Subscription followed;
        lock (_lock)
        {
            (key, followed) = _followed.ElementAt(_random.Next(_followed.Count));
        }

        var all = followed.Intervals.ToList();
        List<string> ended = wire == Wire.Hub && all.Count > 1 && _random.Next(2) == 0 ? [all[0]] : all;
        _asked = key;
        _wanted = [.. all.Except(ended)];
        await Ask(client => client.Unsubscribe(followed.Symbol, ended));
    }

    private async Task GoAndComeBack()
    {
        Cut();
        await _reading;
        var left = _followed.ToList();
        _followed.Clear();
        foreach (var (_, followed) in left)
        {
            run.Ended(wire, followed, null);
        }

        var away = _random.Next(8) == 0 ? _random.Next(500, 6_000) : _random.Next(0, 100);
        await Task.Delay(TimeSpan.FromMilliseconds(away), TimeProvider.System);
        await Connect();
        foreach (var (_, followed) in left)
        {
            if (!await run.NextOperation())
            {
                return;
            }

            await Subscribe(followed.Symbol, [.. followed.Intervals], wire != Wire.Live && _random.Next(8) != 0 ? followed.Position : null);
        }
    }

    private void Cut()
    {
        _isEnding = true;
        _client!.Link.Abort();
    }

    private async Task<WireMessage> Ask(Func<KlineClient, Task> send)
    {
        var answer = new TaskCompletionSource<WireMessage>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            _answer = answer;
        }

        await send(_client!);
        return await answer.Task.WaitAsync(TimeSpan.FromSeconds(60), TimeProvider.System);
    }

    private async Task Read(KlineClient client)
    {
        WireMessage? history = null;
        while (await client.Read() is { } message)
        {
            lock (_lock)
            {
                switch (message.Kind)
                {
                    case WireMessageKind.Klines:
                        Take(message);
                        break;
                    case WireMessageKind.History:
                        history = message;
                        End(_asked);
                        break;
                    case WireMessageKind.Confirmed:
                        Confirm(message, history);
                        history = null;
                        Answer(message);
                        break;
                    case WireMessageKind.Done:
                        Done(message);
                        Answer(message);
                        break;
                    case WireMessageKind.Error or WireMessageKind.Close or WireMessageKind.Shutdown:
                        run.Violation(wire, message.Text);
                        Answer(message);
                        break;
                }
            }
        }

        if (!_isEnding)
        {
            run.Violation(wire, $"the server hung up: {client.Link.CloseStatus} {client.Link.CloseReason}");
        }

        await client.DisposeAsync();
        lock (_lock)
        {
            _answer?.TrySetException(new IOException("The connection is gone."));
        }
    }

    private void Answer(WireMessage message) => _answer?.TrySetResult(message);

    private void Take(WireMessage message)
    {
        run.Took(message.Klines.Count);
        var key = Key(message.Symbol, message.Interval);
        if (_followed.TryGetValue(key, out var subscription))
        {
            subscription.Take(message);
        }
        else if (wire == Wire.Live && key == _asked)
        {
            // This wire confirms nothing: what is followed begins with its first klines.
            subscription = new Subscription(wire, message.Symbol, run.Intervals, null, null, 0);
            subscription.Take(message);
            _followed[key] = subscription;
        }
        else
        {
            run.Violation(wire, $"{key} is not followed and got {message.Seq}");
        }
    }

    private void Confirm(WireMessage message, WireMessage? history)
    {
        var key = Key(message.Symbol, message.Interval);
        var intervals = wire == Wire.Hub && _followed.TryGetValue(key, out var old) ? old.Intervals.Union(_wanted).ToList() : _wanted;
        End(key);
        var start = message.Recovered ? _resume!.Value : wire == Wire.Hub ? new WirePosition(message.Epoch, message.Seq) : new WirePosition(history!.Epoch, history.Seq);
        _followed[key] = new Subscription(wire, message.Symbol, [.. intervals], start, message.Recovered ? null : wire == Wire.Hub ? message.Klines : history!.Klines, Limit);
    }

    private void Done(WireMessage message)
    {
        if (wire == Wire.Live)
        {
            // All that was followed before is followed no longer, but for what was asked for last.
            foreach (var key in _followed.Keys.Where(k => _wanted.Count == 0 || k != _asked).ToList())
            {
                End(key);
            }

            if (_wanted.Count == 0)
            {
                _asked = "";
            }
            else if (!_followed.ContainsKey(_asked))
            {
                _followed[_asked] = new Subscription(wire, _asked, run.Intervals, null, null, 0);
            }

            return;
        }

        if (_wanted.Count > 0 && _followed.TryGetValue(_asked, out var subscription))
        {
            subscription.Narrow(_wanted);
        }
        else
        {
            End(_asked);
        }
    }

    private void End(string key)
    {
        if (_followed.Remove(key, out var subscription))
        {
            run.Ended(wire, subscription, null);
        }
    }
}

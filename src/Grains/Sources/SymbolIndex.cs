using KlineOrleans.Contracts;

namespace KlineOrleans.Grains;

/// <summary>Puts the symbols that a source meets into the archive's index. Thread safe.</summary>
internal sealed class SymbolIndex(IKlineArchive archive, TimeProvider time) : IDisposable
{
    /// <summary>How long after a failure nobody tries but who must.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(5);

    /// <summary>Symbols that are looked up and written at the same time, so that grains which come into memory need not wait for all of them.</summary>
    private const int MostAtOnce = 256;

    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _registering = new(1, 1);
    private readonly Dictionary<string, (SymbolInfo Symbol, bool IsNamed)> _unregistered = new(StringComparer.Ordinal);
    private long _failedAt;
    private bool _isSoon;

    /// <summary>A symbol whose name is known.</summary>
    public void Name(SymbolInfo symbol)
    {
        lock (_lock)
        {
            _unregistered[symbol.Symbol] = (symbol, IsNamed: true);
        }
    }

    /// <summary>A symbol that goes by its own name unless the index knows another.</summary>
    public void Meet(SymbolInfo symbol)
    {
        lock (_lock)
        {
            _unregistered.TryAdd(symbol.Symbol, (symbol, IsNamed: false));
        }
    }

    /// <summary>Whether <see cref="Register"/> is wanted now: something is new, nobody is at it, and it has not just failed. Then the caller must call it.</summary>
    public bool WantsToRegister()
    {
        lock (_lock)
        {
            if (_unregistered.Count == 0 || _isSoon || (_failedAt != 0 && time.GetElapsedTime(_failedAt) < Pause))
            {
                return false;
            }

            return _isSoon = true;
        }
    }

    /// <summary>Puts what is new into the index. Returns when it is durable there.</summary>
    public async Task Register()
    {
        await _registering.WaitAsync();
        try
        {
            KeyValuePair<string, (SymbolInfo Symbol, bool IsNamed)>[] symbols;
            lock (_lock)
            {
                _isSoon = false;
                symbols = [.. _unregistered];
            }

            foreach (var some in symbols.Chunk(MostAtOnce))
            {
                await Task.WhenAll(some.Select(RegisterOne));
            }

            _failedAt = 0;
        }
        catch
        {
            _failedAt = Math.Max(1, time.GetTimestamp());
            throw;
        }
        finally
        {
            _registering.Release();
        }
    }

    public void Dispose() => _registering.Dispose();

    private async Task RegisterOne(KeyValuePair<string, (SymbolInfo Symbol, bool IsNamed)> entry)
    {
        // The name may be known from an earlier run: the symbol itself is only a stand-in.
        if (entry.Value.IsNamed || await archive.GetSymbol(entry.Key) is null)
        {
            await archive.PutSymbol(entry.Value.Symbol);
        }

        lock (_lock)
        {
            if (_unregistered.TryGetValue(entry.Key, out var now) && now == entry.Value)
            {
                _unregistered.Remove(entry.Key);
            }
        }
    }
}

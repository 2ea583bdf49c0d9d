namespace KlineOrleans.Web.Transports.EngineIo;

// Back-pressure for whoever keeps a queue of its own in front of this one, and wants to hand over more only when the client has taken what it got.
public sealed partial class EngineIoSession
{
    private List<Action>? _drainWaiters;

    /// <summary>Calls back once when the transport has taken everything that waits, or the session has ended.</summary>
    /// <remarks>Over a WebSocket that is when the last write is complete, over polling when a poll carries it away.</remarks>
    /// <param name="onDrained">Called on another thread, under no lock; must not block.</param>
    /// <returns>False, and no call, if nothing waits.</returns>
    internal bool TryWaitUntilDrained(Action onDrained)
    {
        lock (_gate)
        {
            if (_closed || (_outbox.Count == 0 && !_writing))
                return false;

            (_drainWaiters ??= new List<Action>(1)).Add(onDrained);
            return true;
        }
    }

    private void TakeDrainWaitersUnderGate(ref List<Action>? waiters)
    {
        if (_drainWaiters is not { Count: > 0 })
            return;

        waiters = _drainWaiters;
        _drainWaiters = null;
    }
}

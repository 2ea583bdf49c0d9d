using System.Collections.Concurrent;
using Microsoft.AspNetCore.Http;

namespace KlineOrleans.Web.Tests;

/// <summary>Counts the requests that a server is busy with, and keeps what they throw. Thread safe.</summary>
internal sealed class RequestKeeper
{
    private readonly Lock _lock = new();
    private readonly ConcurrentQueue<Exception> _failures = new();
    private int _active;
    private TaskCompletionSource? _idle;

    /// <summary>Exceptions that came out of the server's own code.</summary>
    public IReadOnlyCollection<Exception> Failures => _failures;

    public async Task Watch(HttpContext context, RequestDelegate next)
    {
        lock (_lock)
        {
            _active++;
        }

        try
        {
            await next(context);
        }
        catch (Exception e)
        {
            _failures.Enqueue(e);
            throw;
        }
        finally
        {
            lock (_lock)
            {
                if (--_active == 0)
                {
                    _idle?.TrySetResult();
                    _idle = null;
                }
            }
        }
    }

    /// <summary>Completes when the server is busy with no request. Whoever waits sends none meanwhile.</summary>
    public Task Idle()
    {
        lock (_lock)
        {
            return _active == 0 ? Task.CompletedTask : (_idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }
}

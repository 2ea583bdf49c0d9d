using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web.Tests;

/// <summary>Keeps what a server logs: the text of warnings and worse, the fields of everything. Thread safe.</summary>
internal sealed class LogKeeper : ILoggerProvider
{
    private readonly ConcurrentQueue<(LogLevel Level, string Text)> _entries = new();
    private readonly ConcurrentQueue<(int Id, IReadOnlyDictionary<string, object?> Fields)> _events = new();

    /// <summary>Every entry, with its category and its exception.</summary>
    public IReadOnlyCollection<string> Entries => [.. _entries.Select(e => e.Text)];

    /// <summary>Those that are errors.</summary>
    public IReadOnlyCollection<string> Errors => [.. _entries.Where(e => e.Level >= LogLevel.Error).Select(e => e.Text)];

    /// <summary>The fields of every entry with that event id, whatever its level.</summary>
    public IReadOnlyList<IReadOnlyDictionary<string, object?>> Events(int id) => [.. _events.Where(e => e.Id == id).Select(e => e.Fields)];

    public ILogger CreateLogger(string categoryName) => new Keeper(this, categoryName);

    public void Dispose()
    {
    }

    private sealed class Keeper(LogKeeper owner, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (state is IEnumerable<KeyValuePair<string, object?>> fields)
            {
                owner._events.Enqueue((eventId.Id, fields.ToDictionary(f => f.Key, f => f.Value)));
            }

            // Kestrel complains of its heartbeat where the machine is busy with other things.
            if (logLevel >= LogLevel.Warning && !(eventId.Id == 22 && category == "Microsoft.AspNetCore.Server.Kestrel"))
            {
                owner._entries.Enqueue((logLevel, $"{category}[{eventId.Id}]: {formatter(state, exception)} {exception}"));
            }
        }
    }
}

using System.Collections.Concurrent;
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;

namespace KlineOrleans.Testing;

/// <summary>Grain state in memory, with versions, failures on demand, and copies in and out, so that a grain cannot change what is stored by changing its state. Thread safe.</summary>
public sealed class MemoryGrainStorage : IGrainStorage
{
    private readonly ConcurrentDictionary<(string Name, GrainId Grain), (object? State, long Version)> _records = new();
    private long _version;
    private long _reads;
    private long _writes;

    /// <summary>Called before each operation with its kind (read, write, clear) and the grain. What it throws is the operation's failure; what it returns is waited for.</summary>
    public Func<string, GrainId, Task>? Before { get; set; }

    /// <summary>Called after each write or clear was done and before the grain learns it: throwing here is a lost answer.</summary>
    public Func<string, GrainId, Task>? After { get; set; }

    /// <summary>Operations that succeeded.</summary>
    public long Reads => Volatile.Read(ref _reads);

    /// <inheritdoc cref="Reads"/>
    public long Writes => Volatile.Read(ref _writes);

    /// <summary>Records stored.</summary>
    public int Count => _records.Count;

    /// <summary>A copy of what is stored; the default where nothing is.</summary>
    public T? Peek<T>(string stateName, GrainId grainId) =>
        _records.TryGetValue((stateName, grainId), out var record) ? (T?)Copy(record.State) : default;

    /// <summary>Stores a state as somebody else would: grains that have read before meet a newer version.</summary>
    public void Put<T>(string stateName, GrainId grainId, T state) =>
        _records[(stateName, grainId)] = (Copy(state), Interlocked.Increment(ref _version));

    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        await Call(Before, "read", grainId);
        if (_records.TryGetValue((stateName, grainId), out var record))
        {
            grainState.State = (T?)Copy(record.State);
            grainState.ETag = ETagOf(record.Version);
            grainState.RecordExists = true;
        }
        else
        {
            grainState.State = Activator.CreateInstance<T>();
            grainState.ETag = null;
            grainState.RecordExists = false;
        }

        Interlocked.Increment(ref _reads);
    }

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        await Call(Before, "write", grainId);
        var version = Interlocked.Increment(ref _version);
        var next = (Copy(grainState.State), version);
        var key = (stateName, grainId);
        var isStored = _records.TryGetValue(key, out var stored)
            ? ETagOf(stored.Version) == grainState.ETag && _records.TryUpdate(key, next, stored)
            : grainState.ETag is null && _records.TryAdd(key, next);
        if (!isStored)
        {
            throw Inconsistent(key, grainState.ETag);
        }

        await Call(After, "write", grainId);
        grainState.ETag = ETagOf(version);
        grainState.RecordExists = true;
        Interlocked.Increment(ref _writes);
    }

    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        await Call(Before, "clear", grainId);
        var key = (stateName, grainId);
        if (_records.TryGetValue(key, out var stored)
            && (ETagOf(stored.Version) != grainState.ETag || !_records.TryRemove(new KeyValuePair<(string, GrainId), (object?, long)>(key, stored))))
        {
            throw Inconsistent(key, grainState.ETag);
        }

        await Call(After, "clear", grainId);
        grainState.State = Activator.CreateInstance<T>();
        grainState.ETag = null;
        grainState.RecordExists = false;
    }

    private static Task Call(Func<string, GrainId, Task>? hook, string operation, GrainId grainId) => hook?.Invoke(operation, grainId) ?? Task.CompletedTask;

    private static string ETagOf(long version) => version.ToString(CultureInfo.InvariantCulture);

    private InconsistentStateException Inconsistent((string Name, GrainId Grain) key, string? etag)
    {
        var stored = _records.TryGetValue(key, out var record) ? ETagOf(record.Version) : null;
        return new InconsistentStateException($"The state '{key.Name}' of {key.Grain} is at version {stored ?? "none"}, not at {etag ?? "none"}.", stored, etag);
    }

    /// <summary>A copy of the whole graph, field by field.</summary>
    private static object? Copy(object? value) => Copy(value, new Dictionary<object, object>(ReferenceEqualityComparer.Instance));

    private static object? Copy(object? value, Dictionary<object, object> seen)
    {
        if (value is null || IsShared(value.GetType()))
        {
            return value;
        }

        if (seen.TryGetValue(value, out var copied))
        {
            return copied;
        }

        if (value is Array array)
        {
            var clone = (Array)array.Clone();
            seen[value] = clone;
            if (!IsShared(value.GetType().GetElementType()!))
            {
                if (array.Rank != 1)
                {
                    throw new NotSupportedException("Only arrays of one dimension.");
                }

                for (var i = 0; i < array.Length; i++)
                {
                    clone.SetValue(Copy(array.GetValue(i), seen), i);
                }
            }

            return clone;
        }

        var copy = RuntimeHelpers.GetUninitializedObject(value.GetType());
        if (!value.GetType().IsValueType)
        {
            seen[value] = copy;
        }

        for (var type = value.GetType(); type is not null && type != typeof(object) && type != typeof(ValueType); type = type.BaseType)
        {
            foreach (var field in type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
            {
                field.SetValue(copy, Copy(field.GetValue(value), seen));
            }
        }

        return copy;
    }

    private static bool IsShared(Type type) =>
        type.IsPrimitive || type.IsEnum || type.IsPointer || type == typeof(string) || type == typeof(decimal) || type == typeof(DateTimeOffset) || type == typeof(DateTime)
        || type == typeof(TimeSpan) || type == typeof(Guid) || type.IsAssignableTo(typeof(Delegate)) || type.IsAssignableTo(typeof(Type))
        || (type.Namespace == "System.Collections.Generic" && type.Name.Contains("Compare", StringComparison.Ordinal)) || type.IsAssignableTo(typeof(StringComparer));
}

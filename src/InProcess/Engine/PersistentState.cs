using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;

namespace KlineOrleans.InProcess;

internal abstract class PersistentStateBase
{
    public abstract Task ReadStateAsync();
}

/// <summary>A record of one grain over its storage. An error of the storage that is not the engine's own arrives as the inner exception of an <see cref="OrleansException"/>.</summary>
internal sealed class PersistentState<TState> : PersistentStateBase, IPersistentState<TState>
{
    private readonly string _name;
    private readonly string _storageName;
    private readonly GrainId _grainId;
    private readonly IGrainStorage _storage;
    private readonly GrainState<TState> _record = new();

    internal PersistentState(Activation activation, string name, string? storageName)
    {
        _name = name;
        _storageName = string.IsNullOrEmpty(storageName) ? "Default" : storageName;
        _grainId = activation.GrainId;
        _storage = activation.ActivationServices.GetKeyedService<IGrainStorage>(_storageName)
            ?? (_storageName == "Default" ? activation.ActivationServices.GetService<IGrainStorage>() : null)
            ?? throw new OrleansException($"Grain {_grainId}: no IGrainStorage is registered as a keyed service '{_storageName}'.");
        _record.State = New();
        activation.States.Add(this);
    }

    public TState State
    {
        get => _record.State!;
        set => _record.State = value;
    }

    public string? Etag => _record.ETag;

    public bool RecordExists => _record.RecordExists;

    public override Task ReadStateAsync() => Run(_storage.ReadStateAsync, "Reading");

    public Task WriteStateAsync() => Run(_storage.WriteStateAsync, "Writing");

    public Task ClearStateAsync() => Run(_storage.ClearStateAsync, "Clearing");

    private async Task Run(Func<string, GrainId, IGrainState<TState>, Task> operation, string what)
    {
        try
        {
            await operation(_name, _grainId, _record);
            _record.State ??= New();
        }
        catch (Exception exception) when (exception is not OrleansException)
        {
            throw new OrleansException($"{what} the state '{_name}' of grain {_grainId} in storage '{_storageName}' failed: {exception.Message}", exception);
        }
    }

    private static TState New() => Activator.CreateInstance<TState>();
}

using System.Collections.Concurrent;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace KlineOrleans.InProcess;

/// <summary>One grain class: how its grains are made, and which are in memory. Thread safe.</summary>
internal sealed class GrainClass
{
    private readonly ConcurrentDictionary<string, Activation> _activations = new(StringComparer.Ordinal);
    private readonly ConstructorInvoker _constructor;
    private readonly Func<Activation, object?>[] _parameters;
    private long _callsOfRemoved;

    internal GrainClass(GrainEngine engine, Type type)
    {
        Engine = engine;
        Type = type;
        GrainType = GrainType.Create(NameOf(type));
        IsReentrant = type.IsDefined(typeof(ReentrantAttribute), inherit: true);
        var constructors = type.GetConstructors();
        var constructor = Array.Find(constructors, c => c.IsDefined(typeof(ActivatorUtilitiesConstructorAttribute)))
            ?? constructors.MaxBy(c => c.GetParameters().Length)
            ?? throw new InvalidOperationException($"{type} has no public constructor.");
        _constructor = ConstructorInvoker.Create(constructor);
        _parameters = [.. constructor.GetParameters().Select(ParameterOf)];
    }

    internal GrainEngine Engine { get; }

    internal Type Type { get; }

    internal GrainType GrainType { get; }

    internal bool IsReentrant { get; }

    internal ICollection<Activation> Activations => _activations.Values;

    internal int Count => _activations.Count;

    /// <summary>Approximate while calls go on.</summary>
    internal long Calls => Volatile.Read(ref _callsOfRemoved) + _activations.Sum(a => a.Value.Calls);

    internal GrainId IdOf(string key) => new(GrainType, IdSpan.Create(key));

    /// <summary>The activation that calls go to now; null, and why, when the engine makes none any more.</summary>
    internal Activation? GetOrCreate(string key, out Exception? refusal)
    {
        refusal = null;
        while (true)
        {
            if (!_activations.TryGetValue(key, out var activation))
            {
                if (Engine.IsStopping)
                {
                    refusal = new SiloUnavailableException($"The grain engine has stopped or is stopping: {IdOf(key)} cannot be called.");
                    return null;
                }

                activation = _activations.GetOrAdd(key, new Activation(this, key));
            }

            if (!activation.IsGone)
            {
                return activation;
            }

            Remove(activation);
        }
    }

    internal void Remove(Activation activation)
    {
        if (_activations.TryRemove(new KeyValuePair<string, Activation>(activation.Key, activation)))
        {
            Interlocked.Add(ref _callsOfRemoved, activation.Calls);
        }
    }

    internal object Create(Activation activation) => _constructor.Invoke([.. _parameters.Select(p => p(activation))]);

    private static string NameOf(Type type)
    {
        var name = type.Name.ToLowerInvariant();
        return name.Length > 5 && name.EndsWith("grain", StringComparison.Ordinal) ? name[..^5] : name;
    }

    private static Func<Activation, object?> ParameterOf(ParameterInfo parameter)
    {
        var type = parameter.ParameterType;
        if (parameter.GetCustomAttribute<PersistentStateAttribute>() is { } attribute)
        {
            if (!type.IsGenericType || type.GetGenericTypeDefinition() != typeof(IPersistentState<>))
            {
                throw new ArgumentException($"{parameter.Member.DeclaringType}: the parameter {parameter.Name} with [PersistentState] is not an IPersistentState<T>.");
            }

            var state = ConstructorInvoker.Create(typeof(PersistentState<>).MakeGenericType(type.GetGenericArguments())
                .GetConstructors(BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public).Single());
            var name = attribute.StateName.Length == 0 ? parameter.Name! : attribute.StateName;
            return activation => state.Invoke(activation, name, attribute.StorageName);
        }

        if (type == typeof(IGrainContext))
        {
            return activation => activation;
        }

        var keyed = parameter.GetCustomAttribute<FromKeyedServicesAttribute>();
        return activation =>
        {
            var services = activation.ActivationServices;
            var service = keyed is null ? services.GetService(type) : ((IKeyedServiceProvider)services).GetKeyedService(type, keyed.Key);
            return service ?? (parameter.HasDefaultValue
                ? parameter.DefaultValue
                : throw new InvalidOperationException($"No service of type {type} for the constructor parameter '{parameter.Name}' of {parameter.Member.DeclaringType}."));
        };
    }
}

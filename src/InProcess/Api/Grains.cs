using KlineOrleans.InProcess;
using Orleans.Runtime;

namespace Orleans.Runtime
{
    /// <summary>Anything a grain call can be made on.</summary>
    public interface IAddressable;

    /// <summary>One activation of a grain: its identity, its instance, its services.</summary>
    public interface IGrainContext : IEquatable<IGrainContext>
    {
        GrainId GrainId { get; }

        /// <summary>The grain object; null before it was made and after it was disposed of.</summary>
        object? GrainInstance { get; }

        /// <summary>Services of this activation: a scope that ends with it.</summary>
        IServiceProvider ActivationServices { get; }

        /// <summary>Completes when the activation is gone. Waiting for it inside the grain never ends.</summary>
        Task Deactivated { get; }

        /// <summary>Deactivates once the calls that have begun are done. Harmless to repeat.</summary>
        void Deactivate(DeactivationReason deactivationReason, CancellationToken cancellationToken = default);
    }
}

namespace Orleans
{
    /// <summary>The base of every grain interface.</summary>
    public interface IGrain : IAddressable;

    /// <summary>A grain named by a string.</summary>
    public interface IGrainWithStringKey : IGrain;

    /// <summary>What a grain class is to the engine.</summary>
    public interface IGrainBase
    {
        IGrainContext GrainContext { get; }

        Task OnActivateAsync(CancellationToken token) => Task.CompletedTask;

        Task OnDeactivateAsync(DeactivationReason reason, CancellationToken token) => Task.CompletedTask;
    }

    /// <summary>Makes references to grains. A reference costs little and never fails; the grain is activated by the first call. Thread safe.</summary>
    public interface IGrainFactory
    {
        /// <exception cref="ArgumentException">No class, or more than one, implements the interface.</exception>
        TGrainInterface GetGrain<TGrainInterface>(string primaryKey, string? grainClassNamePrefix = null)
            where TGrainInterface : IGrainWithStringKey;
    }

    /// <summary>The grains as code outside of grains calls them.</summary>
    public interface IClusterClient : IGrainFactory
    {
        IServiceProvider ServiceProvider { get; }
    }

    /// <summary>The base of grain classes. Everything a grain does runs in turns, one at a time.</summary>
    public abstract class Grain : IGrainBase, IAddressable
    {
        protected Grain() => GrainContext = Activation.Current!;

        public IGrainContext GrainContext { get; }

        protected IGrainFactory GrainFactory => Activation.Engine;

        protected internal IServiceProvider ServiceProvider => Activation.ActivationServices;

        internal Activation Activation => GrainContext as Activation
            ?? throw new InvalidOperationException("The grain was not made by the grain engine, so it has no runtime.");

        /// <summary>Deactivates once the calls that have begun are done; later calls go to the next activation.</summary>
        protected void DeactivateOnIdle() => GrainBaseExtensions.DeactivateOnIdle(this);

        /// <summary>Keeps the activation from being collected for this long. Negative: takes that back.</summary>
        protected void DelayDeactivation(TimeSpan timeSpan) => Activation.DelayDeactivation(timeSpan);

        /// <summary>Runs before the first call, after the state was read. A failure fails the calls that wait; the next call tries anew.</summary>
        public virtual Task OnActivateAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        /// <summary>Runs after the last call; not when the process is killed. A failure is logged.</summary>
        public virtual Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) => Task.CompletedTask;
    }

    public static class GrainExtensions
    {
        /// <summary>The key of a grain or of a reference to one.</summary>
        /// <exception cref="ArgumentException"><paramref name="grain"/> was not made by the grain engine.</exception>
        public static string GetPrimaryKeyString(this IAddressable grain) => GetGrainId(grain).Key.ToString();

        /// <inheritdoc cref="GetPrimaryKeyString"/>
        public static GrainId GetGrainId(this IAddressable grain) => grain switch
        {
            GrainProxy proxy => proxy.GrainId,
            IGrainBase { GrainContext: { } context } => context.GrainId,
            _ => throw new ArgumentException($"{grain?.GetType().FullName ?? "null"} was not made by the grain engine.", nameof(grain)),
        };
    }

    public static class GrainBaseExtensions
    {
        /// <summary>Deactivates once the calls that have begun are done; later calls go to the next activation.</summary>
        public static void DeactivateOnIdle(this IGrainBase grain) =>
            grain.GrainContext.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, "DeactivateOnIdle was called."));

        /// <summary>Starts a timer whose callbacks are turns of the grain. It ends with the activation.</summary>
        /// <remarks>The next period begins when the callback has ended. A callback that throws is logged, and the timer goes on.</remarks>
        public static IGrainTimer RegisterGrainTimer<TState>(this IGrainBase grain, Func<TState, CancellationToken, Task> callback, TState state, GrainTimerCreationOptions options)
        {
            ArgumentNullException.ThrowIfNull(callback);
            var activation = grain.GrainContext as Activation ?? throw new InvalidOperationException("The grain was not made by the grain engine, so it has no timers.");
            return activation.AddTimer(cancellation => callback(state, cancellation), options);
        }

        /// <inheritdoc cref="RegisterGrainTimer{TState}(IGrainBase, Func{TState, CancellationToken, Task}, TState, GrainTimerCreationOptions)"/>
        public static IGrainTimer RegisterGrainTimer(this IGrainBase grain, Func<CancellationToken, Task> callback, GrainTimerCreationOptions options)
        {
            ArgumentNullException.ThrowIfNull(callback);
            return RegisterGrainTimer(grain, static (call, cancellation) => call(cancellation), callback, options);
        }

        /// <inheritdoc cref="RegisterGrainTimer{TState}(IGrainBase, Func{TState, CancellationToken, Task}, TState, GrainTimerCreationOptions)"/>
        public static IGrainTimer RegisterGrainTimer(this IGrainBase grain, Func<Task> callback, GrainTimerCreationOptions options)
        {
            ArgumentNullException.ThrowIfNull(callback);
            return RegisterGrainTimer(grain, static (call, _) => call(), callback, options);
        }

        /// <inheritdoc cref="RegisterGrainTimer{TState}(IGrainBase, Func{TState, CancellationToken, Task}, TState, GrainTimerCreationOptions)"/>
        public static IGrainTimer RegisterGrainTimer<TState>(this IGrainBase grain, Func<TState, Task> callback, TState state, GrainTimerCreationOptions options)
        {
            ArgumentNullException.ThrowIfNull(callback);
            return RegisterGrainTimer(grain, static (call, _) => call.callback(call.state), (callback, state), options);
        }

        /// <inheritdoc cref="RegisterGrainTimer{TState}(IGrainBase, Func{TState, CancellationToken, Task}, TState, GrainTimerCreationOptions)"/>
        public static IGrainTimer RegisterGrainTimer(this IGrainBase grain, Func<Task> callback, TimeSpan dueTime, TimeSpan period) =>
            RegisterGrainTimer(grain, callback, new GrainTimerCreationOptions(dueTime, period));

        /// <inheritdoc cref="RegisterGrainTimer{TState}(IGrainBase, Func{TState, CancellationToken, Task}, TState, GrainTimerCreationOptions)"/>
        public static IGrainTimer RegisterGrainTimer(this IGrainBase grain, Func<CancellationToken, Task> callback, TimeSpan dueTime, TimeSpan period) =>
            RegisterGrainTimer(grain, callback, new GrainTimerCreationOptions(dueTime, period));

        /// <inheritdoc cref="RegisterGrainTimer{TState}(IGrainBase, Func{TState, CancellationToken, Task}, TState, GrainTimerCreationOptions)"/>
        public static IGrainTimer RegisterGrainTimer<TState>(this IGrainBase grain, Func<TState, Task> callback, TState state, TimeSpan dueTime, TimeSpan period) =>
            RegisterGrainTimer(grain, callback, state, new GrainTimerCreationOptions(dueTime, period));

        /// <inheritdoc cref="RegisterGrainTimer{TState}(IGrainBase, Func{TState, CancellationToken, Task}, TState, GrainTimerCreationOptions)"/>
        public static IGrainTimer RegisterGrainTimer<TState>(this IGrainBase grain, Func<TState, CancellationToken, Task> callback, TState state, TimeSpan dueTime, TimeSpan period) =>
            RegisterGrainTimer(grain, callback, state, new GrainTimerCreationOptions(dueTime, period));
    }

    /// <summary>Why an activation ends. The numbers are those of Orleans.</summary>
    public enum DeactivationReasonCode : byte
    {
        None,
        ShuttingDown,
        ActivationFailed,
        DirectoryFailure,
        ActivationIdle,
        ActivationUnresponsive,
        DuplicateActivation,
        IncompatibleRequest,
        ApplicationError,
        ApplicationRequested,
        Migrating,
        RuntimeRequested,
        HighMemoryPressure,
    }

    /// <summary>Why an activation ends, for its OnDeactivateAsync and for the log.</summary>
    public readonly struct DeactivationReason
    {
        public DeactivationReason(DeactivationReasonCode code, string text)
            : this(code, null, text)
        {
        }

        public DeactivationReason(DeactivationReasonCode code, Exception? exception, string text)
        {
            ReasonCode = code;
            Description = text;
            Exception = exception;
        }

        public string Description { get; }

        public DeactivationReasonCode ReasonCode { get; }

        public Exception? Exception { get; }

        public override string ToString() => Exception is null ? $"{ReasonCode}: {Description}" : $"{ReasonCode}: {Description} {Exception}";
    }
}

using System.Runtime.CompilerServices;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;
using Orleans.Streams;
using MemoryGrainStorage = KlineOrleans.Testing.MemoryGrainStorage;

namespace KlineOrleans.InProcess.Tests;

/// <summary>What grain code may rely on, whatever engine it runs on. Written against the public API of Orleans only.</summary>
public abstract class GrainEngineTests : IAsyncLifetime
{
    private static readonly TimeSpan Safety = TimeSpan.FromSeconds(30);
    private TestEngine? _engine;

    protected Probe Probe { get; } = new();

    protected ManualTimeProvider Clock { get; } = new();

    protected MemoryGrainStorage Storage { get; } = new();

    protected TestEngine Engine => _engine!;

    /// <summary>Whether the engine takes its time from the registered clock, so that tests can move it.</summary>
    protected virtual bool FollowsClock => true;

    /// <summary>Whether the engine may refuse a call, with an <see cref="OrleansException"/>, that meets one deactivating activation after another.</summary>
    protected virtual bool MayRefuse => false;

    /// <summary>Whether <see cref="TestEngine.Kill"/> keeps OnDeactivateAsync from running.</summary>
    protected virtual bool KillIsSudden => true;

    public async ValueTask InitializeAsync() => _engine = await StartEngine();

    public async ValueTask DisposeAsync()
    {
        await Engine.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    protected Task<TestEngine> StartEngine(Action<TestEngineOptions>? more = null) => TestEngine.Start(
        services =>
        {
            services.AddSingleton(Probe);
            services.AddSingleton<TimeProvider>(Clock);
            services.AddKeyedSingleton<IGrainStorage>("Default", Storage);
            services.AddKeyedSingleton<IGrainStorage>("Other", new MemoryGrainStorage());
        },
        options =>
        {
            options.GrainAssemblies.Add(typeof(GrainEngineTests).Assembly);
            more?.Invoke(options);
        });

    protected ITestGrain Grain([CallerMemberName] string key = "") => Engine.GrainFactory.GetGrain<ITestGrain>(key);

    protected IAsyncStream<Parcel> Stream(string key) => Engine.Client.GetStreamProvider(KlineStreams.Provider).GetStream<Parcel>(StreamId.Create("test", key));

    protected static async Task<T> Soon<T>(Task<T> task) => await task.WaitAsync(Safety, TestContext.Current.CancellationToken);

    protected static async Task Soon(Task task) => await task.WaitAsync(Safety, TestContext.Current.CancellationToken);

    /// <summary>Waits for a condition that nothing signals, without the clock.</summary>
    protected static async Task Until(Func<Task<bool>> condition)
    {
        using var safety = new CancellationTokenSource(Safety);
        while (!await condition())
        {
            Assert.False(safety.IsCancellationRequested, "The condition did not come about.");
            await Task.Yield();
        }

    }

    [Fact]
    public async Task Grain_knows_its_key() => Assert.Equal(nameof(Grain_knows_its_key), await Soon(Grain().Key()));

    [Fact]
    public void Reference_knows_its_key_and_equals_another_to_the_same_grain()
    {
        Assert.Equal("a", Grain("a").GetPrimaryKeyString());
        Assert.Equal(Grain("a"), Grain("a"));
        Assert.NotEqual(Grain("a"), Grain("b"));
    }

    [Fact]
    public async Task Argument_and_result_of_a_value_task_method_travel() => Assert.Equal(new Parcel("p", 7), await Grain().Echo(new Parcel("p", 7)));

    [Fact]
    public async Task Cancellation_token_reaches_the_grain()
    {
        await Grain().Nothing(CancellationToken.None);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await Grain().Nothing(new CancellationToken(canceled: true)));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Exception_reaches_the_caller_with_type_message_and_stack(bool atOnce)
    {
        var thrown = await Assert.ThrowsAsync<InvalidDataException>(() => Soon(Grain().Fail(atOnce)));
        Assert.Equal("from the grain", thrown.Message);
        Assert.Contains("ThrowDeep", thrown.StackTrace, StringComparison.Ordinal);
        Assert.Equal("peek", await Soon(Grain().Peek()));
    }

    [Fact]
    public async Task Cancellation_inside_the_grain_reaches_the_caller_as_such() =>
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Soon(Grain().Cancel()));

    [Fact]
    public async Task First_call_activates_once_and_later_calls_meet_the_same_activation()
    {
        var ids = await Soon(Task.WhenAll(Enumerable.Range(0, 50).Select(_ => Grain().GetActivation())));
        Assert.Single(ids.Distinct());
        Assert.Single(Probe.Events, $"{nameof(First_call_activates_once_and_later_calls_meet_the_same_activation)} activates");
    }

    [Fact]
    public async Task Activation_that_fails_fails_the_waiting_calls_and_the_next_call_tries_anew()
    {
        Probe.Failures[nameof(Activation_that_fails_fails_the_waiting_calls_and_the_next_call_tries_anew)] = 1;
        var thrown = await Assert.ThrowsAsync<InvalidDataException>(() => Soon(Grain().Key()));
        Assert.Equal("activation", thrown.Message);
        Assert.Equal(Grain().GetPrimaryKeyString(), await Soon(Grain().Key()));
    }

    [Fact]
    public async Task Calls_do_not_interleave_while_one_waits()
    {
        var first = Grain().Step("first", waitFor: "go");
        await Probe.Passed("first begins");
        var second = Grain().Step("second", null);
        Assert.Equal("peek", await Soon(Grain().Peek()));
        Assert.False(second.IsCompleted);
        Probe.Gate("go").SetResult();
        await Soon(Task.WhenAll(first, second));
        Assert.Equal(["first begins with 1 inside", "first ends", "second begins with 1 inside", "second ends"], Probe.Events.Skip(1));
    }

    [Fact]
    public async Task Calls_of_one_caller_to_an_active_grain_run_in_order()
    {
        // Orleans does not keep the order of calls that wait for an activation to be placed.
        await Soon(Grain().Key());
        var results = await Soon(Task.WhenAll(Enumerable.Range(0, 2_000).Select(Grain().Append)));
        Assert.Equal(Enumerable.Range(0, 2_000), results);
    }

    [Fact]
    public async Task Method_marked_always_interleave_runs_while_a_call_waits()
    {
        var first = Grain().Step("first", waitFor: "go");
        await Probe.Passed("first begins");
        Assert.Equal("peek", await Soon(Grain().Peek()));
        Assert.False(first.IsCompleted);
        Probe.Gate("go").SetResult();
        await Soon(first);
    }

    [Fact]
    public async Task Read_only_calls_interleave_with_each_other_but_not_with_others()
    {
        var first = Grain().Read("first", waitFor: "go");
        await Probe.Passed("first begins");
        var write = Grain().Step("write", null);
        await Soon(Grain().Read("second", null));
        Assert.False(write.IsCompleted);
        Probe.Gate("go").SetResult();
        await Soon(Task.WhenAll(first, write));
        Assert.Contains("write begins with 1 inside", Probe.Events);
    }

    [Fact]
    public async Task Calls_of_a_reentrant_grain_interleave()
    {
        var grain = Engine.GrainFactory.GetGrain<IReentrantGrain>("r");
        var first = grain.Step("first", waitFor: "go");
        await Probe.Passed("first begins");
        await Soon(grain.Step("second", null));
        Assert.False(first.IsCompleted);
        Probe.Gate("go").SetResult();
        await Soon(first);
        Assert.Equal("r", await Soon(grain.CallSelf(100)));
    }

    [Fact]
    public async Task Grain_code_stays_on_the_activations_scheduler_across_awaits() => Assert.True(await Soon(Grain().StaysOnScheduler()));

    [Fact]
    public async Task Caller_goes_on_before_a_callee_that_blocks_its_thread_ends() => Assert.True(await Soon(Grain().CallAndGoOn("callee")));

    [Fact]
    public async Task Deep_chain_of_calls_does_not_overflow_the_stack() => Assert.Equal(5_000, await Soon(Grain("chain5000").Chain(5_000)));

    [Fact]
    public async Task Call_to_itself_without_reentrancy_times_out_and_the_grain_goes_on()
    {
        if (!FollowsClock)
        {
            Assert.Skip("The engine's timeouts run by the machine's clock.");
        }

        var call = Grain().CallSelf();
        Assert.Equal("peek", await Soon(Grain().Peek()));
        Clock.Advance(TimeSpan.FromSeconds(29));
        Assert.False(call.IsCompleted);
        await Until(() =>
        {
            Clock.Advance(TimeSpan.FromSeconds(1));
            return Task.FromResult(call.IsCompleted);
        });
        await Assert.ThrowsAsync<TimeoutException>(() => call);
        Assert.Equal(Grain().GetPrimaryKeyString(), await Soon(Grain().Key()));
    }

    [Fact]
    public async Task Deactivation_on_idle_waits_for_the_call_and_later_calls_meet_a_new_activation()
    {
        var before = await Soon(Grain().GetActivation());
        var leaving = Grain().Leave(waitFor: "go");
        await Probe.Passed("leaving");
        var next = Grain().GetActivation();
        Assert.DoesNotContain(Probe.Events, e => e.Contains("deactivates", StringComparison.Ordinal));
        Probe.Gate("go").SetResult();
        await Soon(leaving);
        Assert.NotEqual(before, await Soon(next));
        var key = Grain().GetPrimaryKeyString();
        Assert.Equal([$"{key} activates", "left", $"{key} deactivates: ApplicationRequested", $"{key} activates"], Probe.Events);
    }

    [Fact]
    public async Task No_call_is_lost_while_the_grain_deactivates_again_and_again()
    {
        var calls = Enumerable.Range(0, 2_000).Select(i => i % 20 == 0 ? Grain().Leave(null) : Grain().Key()).ToArray();
        var answered = 0;
        foreach (var call in calls)
        {
            try
            {
                await Soon(call);
                answered++;
            }
            catch (OrleansException) when (MayRefuse)
            {
                // Refused is not lost: the caller knows, and asks again.
            }
        }

        Assert.InRange(answered, MayRefuse ? 100 : 2_000, 2_000);
        Assert.True(Probe.Events.Count(e => e.EndsWith(" activates", StringComparison.Ordinal)) > 1);
    }

    [Fact]
    public async Task Idle_grain_is_collected_after_the_collection_age_and_a_used_one_is_not()
    {
        if (!FollowsClock)
        {
            Assert.Skip("The engine's collection runs by the machine's clock.");
        }

        var used = await Soon(Grain("used").GetActivation());
        var idle = await Soon(Grain("idle").GetActivation());
        Clock.Advance(TimeSpan.FromMinutes(10));
        Assert.Equal(used, await Soon(Grain("used").GetActivation()));
        Assert.DoesNotContain("idle deactivates: ActivationIdle", Probe.Events);
        Clock.Advance(TimeSpan.FromMinutes(7));
        await Until(() => Task.FromResult(Probe.Events.Contains("idle deactivates: ActivationIdle")));
        Assert.Equal(used, await Soon(Grain("used").GetActivation()));
        Assert.NotEqual(idle, await Soon(Grain("idle").GetActivation()));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Timer_keeps_an_idle_grain_in_memory_only_if_it_says_so(bool keepAlive)
    {
        if (!FollowsClock)
        {
            Assert.Skip("The engine's collection runs by the machine's clock.");
        }

        var grain = Grain($"timer {keepAlive}");
        await Soon(grain.StartTimer(TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1), interleave: false, keepAlive, null));
        var before = await Soon(grain.GetActivation());
        for (var minute = 1; minute <= 20; minute++)
        {
            Clock.Advance(TimeSpan.FromMinutes(1));
            if (keepAlive || minute < 14)
            {
                await Probe.Passed($"tick {minute} ends");

                // An interleaving call that is no use of the grain does not exist; the next advance must find the timer armed.
                await Until(() => Task.FromResult(Clock.ArmedTimers >= 2));
            }
        }

        if (!keepAlive)
        {
            await Until(() => Task.FromResult(Probe.Events.Any(e => e.EndsWith("deactivates: ActivationIdle", StringComparison.Ordinal))));
        }

        Assert.Equal(keepAlive, before == await Soon(grain.GetActivation()));
    }

    [Fact]
    public async Task Timer_tick_waits_for_its_turn()
    {
        await Soon(Grain().StartTimer(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1), interleave: false, keepAlive: false, null));
        var step = Grain().Step("step", waitFor: "go");
        await Probe.Passed("step begins");
        Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("peek", await Soon(Grain().Peek()));
        Assert.DoesNotContain(Probe.Events, e => e.StartsWith("tick", StringComparison.Ordinal));
        Probe.Gate("go").SetResult();
        await Soon(step);
        await Probe.Passed("tick 1 ends");
        Assert.Contains("tick 1 begins with 0 inside", Probe.Events);
    }

    [Fact]
    public async Task Interleaving_timer_ticks_while_a_call_waits()
    {
        await Soon(Grain().StartTimer(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1), interleave: true, keepAlive: false, null));
        var step = Grain().Step("step", waitFor: "go");
        await Probe.Passed("step begins");
        Clock.Advance(TimeSpan.FromSeconds(1));
        await Probe.Passed("tick 1 ends");
        Assert.False(step.IsCompleted);
        Probe.Gate("go").SetResult();
        await Soon(step);
    }

    [Fact]
    public async Task Timers_next_period_counts_from_the_end_of_the_callback()
    {
        await Soon(Grain().StartTimer(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(10), interleave: true, keepAlive: false, waitFor: "tick may end"));
        Clock.Advance(TimeSpan.FromSeconds(1));
        await Probe.Passed("tick 1 begins");
        Clock.Advance(TimeSpan.FromSeconds(60));
        Assert.Equal("peek", await Soon(Grain().Peek()));
        Assert.DoesNotContain(Probe.Events, e => e.StartsWith("tick 2", StringComparison.Ordinal));
        Probe.Gate("tick may end 1").SetResult();
        await Probe.Passed("tick 1 ends");
        await Until(() => Task.FromResult(Clock.ArmedTimers >= 2));
        Clock.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal("peek", await Soon(Grain().Peek()));
        Assert.DoesNotContain(Probe.Events, e => e.StartsWith("tick 2", StringComparison.Ordinal));
        Clock.Advance(TimeSpan.FromSeconds(1));
        await Probe.Passed("tick 2 begins");
        Probe.Gate("tick may end 2").SetResult();
    }

    [Fact]
    public async Task Timer_goes_on_after_a_callback_that_throws()
    {
        Probe.Gate("throw 1").SetResult();
        Probe.Gate("throw 2").SetResult();
        await Soon(Grain().StartTimer(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1), interleave: false, keepAlive: false, waitFor: "throw"));
        Clock.Advance(TimeSpan.FromSeconds(1));
        await Probe.Passed("tick 1 ends");
        await Until(() => Task.FromResult(Clock.ArmedTimers >= 2));
        Clock.Advance(TimeSpan.FromSeconds(1));
        await Probe.Passed("tick 2 ends");
    }

    [Fact]
    public async Task Timer_that_was_changed_ticks_by_its_new_times_and_one_that_was_disposed_of_no_more()
    {
        await Soon(Grain().StartTimer(TimeSpan.FromSeconds(10), Timeout.InfiniteTimeSpan, interleave: false, keepAlive: false, null));
        await Soon(Grain().ChangeTimer(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5)));
        Clock.Advance(TimeSpan.FromSeconds(1));
        await Probe.Passed("tick 1 ends");
        await Soon(Grain().StopTimer());
        Clock.Advance(TimeSpan.FromSeconds(60));
        await Soon(Grain().Key());
        Assert.DoesNotContain(Probe.Events, e => e.StartsWith("tick 2", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Timer_ends_with_its_activation()
    {
        await Soon(Grain().StartTimer(TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(10), interleave: false, keepAlive: false, null));
        await Soon(Grain().Leave(null));
        await Soon(Grain().Key());
        Clock.Advance(TimeSpan.FromSeconds(60));
        await Soon(Grain().Key());
        Assert.DoesNotContain(Probe.Events, e => e.StartsWith("tick", StringComparison.Ordinal));
    }

    [Fact]
    public async Task State_is_read_before_activation_and_survives_it()
    {
        var grain = Engine.GrainFactory.GetGrain<IStateGrain>("s");
        Assert.Equal((0, false), await Soon(grain.Get()));
        Assert.Equal(0, await Soon(grain.Add(5)));
        await Engine.DeactivateAll();
        Assert.Equal(5, await Soon(grain.Add(2)));
        Assert.Equal((7, true), await Soon(grain.Get()));
        Assert.Equal(7, Storage.Peek<CountState>("count", grain.GetGrainId())!.Count);
    }

    [Fact]
    public async Task State_that_was_cleared_is_gone()
    {
        var grain = Engine.GrainFactory.GetGrain<IStateGrain>("s");
        await Soon(grain.Add(5));
        await Soon(grain.Clear());
        Assert.Equal((0, false), await Soon(grain.Get()));
        Assert.Equal(0, Storage.Count);
    }

    [Fact]
    public async Task Failing_read_of_state_fails_the_call_and_the_next_call_tries_anew()
    {
        Storage.Before = (operation, _) => throw new InvalidDataException($"no {operation}");
        var thrown = await Assert.ThrowsAnyAsync<OrleansException>(() => Soon(Engine.GrainFactory.GetGrain<IStateGrain>("s").Get()));
        Assert.IsType<InvalidDataException>(thrown.InnerException);
        Storage.Before = null;
        Assert.Equal((0, false), await Soon(Engine.GrainFactory.GetGrain<IStateGrain>("s").Get()));
    }

    [Fact]
    public async Task Failing_write_of_state_fails_the_call_and_the_activation_goes_on()
    {
        var grain = Engine.GrainFactory.GetGrain<IStateGrain>("s");
        await Soon(grain.Get());
        Storage.Before = (operation, _) => throw new InvalidDataException($"no {operation}");
        await Assert.ThrowsAnyAsync<OrleansException>(() => Soon(grain.Add(1)));
        Storage.Before = null;
        Assert.Equal((1, false), await Soon(grain.Get()));
    }

    [Fact]
    public async Task Write_over_a_newer_version_fails_and_the_next_activation_reads_it()
    {
        var grain = Engine.GrainFactory.GetGrain<IStateGrain>("s");
        await Soon(grain.Add(1));
        Storage.Put("count", grain.GetGrainId(), new CountState { Count = 100 });
        await Assert.ThrowsAnyAsync<InconsistentStateException>(() => Soon(grain.Add(1)));
        await Until(async () => await grain.Get() == (100, true));
        Assert.Equal(100, await Soon(grain.Add(1)));
    }

    [Fact]
    public async Task Client_subscriber_gets_a_grains_items_in_order()
    {
        var received = new List<int>();
        var done = new TaskCompletionSource();
        await Stream("k").SubscribeAsync(async (parcel, _) =>
        {
            await Task.Yield();
            received.Add(parcel.Number);
            if (parcel.Number == 999)
            {
                done.SetResult();
            }
        });
        await Soon(Grain().Publish("k", 0, 1_000));
        await Soon(done.Task);
        Assert.Equal(Enumerable.Range(0, 1_000), received);
    }

    [Fact]
    public async Task Grain_subscriber_gets_items_as_turns_that_do_not_interleave()
    {
        await Soon(Grain("sub").Subscribe("k"));
        await Soon(Grain("pub").Publish("k", 0, 100));
        await Probe.Passed("sub got 99");
        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"sub got {i} with 1 inside, on its scheduler"), Probe.Events.Where(e => e.StartsWith("sub got", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Grain_subscribers_item_waits_for_the_call_in_progress()
    {
        await Soon(Grain("sub").Subscribe("k"));
        var step = Grain("sub").Step("step", waitFor: "go");
        await Probe.Passed("step begins");
        await Soon(Grain("pub").Publish("k", 1, 1));
        Assert.Equal("peek", await Soon(Grain("sub").Peek()));
        Probe.Gate("go").SetResult();
        await Soon(step);
        await Probe.Passed("sub got 1");
        Assert.Contains("sub got 1 with 1 inside, on its scheduler", Probe.Events);
    }

    [Fact]
    public async Task Subscriber_that_throws_gets_the_next_item_and_hurts_no_other()
    {
        var bad = 0;
        var good = new List<int>();
        var done = new TaskCompletionSource();
        await Stream("k").SubscribeAsync((parcel, _) =>
        {
            if (++bad == 3)
            {
                done.TrySetResult();
            }

            throw new InvalidOperationException("a bad subscriber");
        });
        var goodDone = new TaskCompletionSource();
        await Stream("k").SubscribeAsync((parcel, _) =>
        {
            good.Add(parcel.Number);
            if (good.Count == 3)
            {
                goodDone.SetResult();
            }

            return Task.CompletedTask;
        });
        await Soon(Grain().Publish("k", 0, 3));
        await Soon(Task.WhenAll(done.Task, goodDone.Task));
        Assert.Equal([0, 1, 2], good);
    }

    [Fact]
    public async Task Busy_subscriber_holds_up_neither_producer_nor_the_subscribers_of_others()
    {
        // In a grain of its own: Orleans gives one client its items one after the other, over all its subscriptions, so a client's handler must not wait.
        await Soon(Grain("slow").Subscribe("k"));

        // Orleans greets the subscribers of a stream before it gives the first item to any, and waits for their answer.
        await Soon(Grain().Publish("k", 1_000, 1));
        await Probe.Passed("slow got 1000");
        var step = Grain("slow").Step("step", waitFor: "go");
        await Probe.Passed("step begins");
        var done = new TaskCompletionSource();
        await Stream("k").SubscribeAsync((parcel, _) =>
        {
            if (parcel.Number == 499)
            {
                done.SetResult();
            }

            return Task.CompletedTask;
        });
        await Soon(Grain().Publish("k", 0, 500));
        await Soon(done.Task);
        Assert.False(step.IsCompleted);
        Probe.Gate("go").SetResult();
        await Soon(step);
        await Probe.Passed("slow got 499");
    }

    [Fact]
    public async Task Nothing_published_after_unsubscribing_arrives()
    {
        var received = new List<int>();
        var first = new TaskCompletionSource();
        var handle = await Stream("k").SubscribeAsync((parcel, _) =>
        {
            received.Add(parcel.Number);
            first.TrySetResult();
            return Task.CompletedTask;
        });
        await Soon(Grain().Publish("k", 0, 1));
        await Soon(first.Task);
        await Soon(handle.UnsubscribeAsync());
        var second = new TaskCompletionSource();
        await Stream("k").SubscribeAsync((_, _) =>
        {
            second.SetResult();
            return Task.CompletedTask;
        });
        await Soon(Grain().Publish("k", 1, 1));
        await Soon(second.Task);
        Assert.Equal([0], received);
    }

    [Fact]
    public async Task Streams_with_different_keys_are_different_streams()
    {
        var received = new TaskCompletionSource<Parcel>();
        await Stream("one").SubscribeAsync((parcel, _) =>
        {
            received.TrySetResult(parcel);
            return Task.CompletedTask;
        });
        await Soon(Grain().Publish("two", 0, 1));
        await Soon(Grain().Publish("one", 1, 1));
        Assert.Equal(new Parcel("one", 1), await Soon(received.Task));
    }

    [Fact]
    public void Unknown_stream_provider_is_refused_by_name() =>
        Assert.Contains("nobody", Assert.Throws<KeyNotFoundException>(() => Engine.Client.GetStreamProvider("nobody")).Message, StringComparison.Ordinal);

    [Fact]
    public async Task Stop_deactivates_every_grain_and_later_calls_fail()
    {
        await Soon(Task.WhenAll(Enumerable.Range(0, 20).Select(i => Grain($"g{i}").Key())));
        await Soon(Engine.Stop());
        Assert.Equal(20, Probe.Events.Count(e => e.EndsWith("deactivates: ShuttingDown", StringComparison.Ordinal)));
        await Assert.ThrowsAnyAsync<Exception>(() => Soon(Grain("g1").Key()));
        await Assert.ThrowsAnyAsync<Exception>(() => Soon(Grain("new").Key()));
    }

    [Fact]
    public async Task Killed_engine_calls_no_deactivation()
    {
        if (!KillIsSudden)
        {
            Assert.Skip("A silo in this process cannot be killed: Orleans deactivates its grains all the same. Cluster.Tests kills processes.");
        }

        await Soon(Grain().Key());
        await Soon(Engine.Kill());
        Assert.DoesNotContain(Probe.Events, e => e.Contains("deactivates", StringComparison.Ordinal));
        await Assert.ThrowsAnyAsync<Exception>(() => Soon(Grain().Key()));
    }

    [Fact]
    public async Task Deactivation_asked_for_by_a_call_that_waited_its_turn_happens_without_a_further_call()
    {
        var first = Grain().Step("first", waitFor: "go");
        await Probe.Passed("first begins");
        var leave = Grain().Leave(null);
        Probe.Gate("go").SetResult();
        await Soon(Task.WhenAll(first, leave));
        await Until(() => Task.FromResult(Probe.Events.Any(e => e.EndsWith("deactivates: ApplicationRequested", StringComparison.Ordinal))));
    }
}

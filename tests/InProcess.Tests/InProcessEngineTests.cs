using System.Diagnostics.Metrics;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Runtime;
using Orleans.Streams;

namespace KlineOrleans.InProcess.Tests;

/// <summary>The suite on the in-process engine, and what only this engine promises.</summary>
public sealed class InProcessEngineTests : GrainEngineTests
{
    private GrainEngineCounters Counters => Engine.Services.GetRequiredService<GrainEngineCounters>();

    [Fact]
    public void Runtime_lets_turns_lend_a_task() => Assert.True(TurnTask.IsSupported);

    [Fact]
    public async Task Full_subscriber_queue_drops_what_comes_and_counts_it()
    {
        await using var engine = await StartEngine(options => options.StreamQueueCapacity = 10);
        var counters = engine.Services.GetRequiredService<GrainEngineCounters>();
        var stream = engine.Client.GetStreamProvider(KlineStreams.Provider).GetStream<Parcel>(StreamId.Create("test", "k"));
        var entered = new TaskCompletionSource();
        var release = new TaskCompletionSource();
        var received = new List<int>();
        var done = new TaskCompletionSource();
        await stream.SubscribeAsync(async (parcel, _) =>
        {
            entered.TrySetResult();
            await release.Task;
            received.Add(parcel.Number);
            if (parcel.Number is 10)
            {
                done.SetResult();
            }
        });
        await stream.OnNextAsync(new Parcel("k", 0));
        await Soon(entered.Task);
        for (var i = 1; i < 100; i++)
        {
            await stream.OnNextAsync(new Parcel("k", i));
        }

        Assert.Equal(89, counters.StreamDrops);
        release.SetResult();
        await Soon(done.Task);
        Assert.Equal(Enumerable.Range(0, 11), received);
    }

    [Fact]
    public async Task Stream_whose_last_subscriber_left_is_not_in_memory()
    {
        var provider = (MemoryStreamProvider)Engine.Client.GetStreamProvider(KlineStreams.Provider);
        await Stream("unheard").OnNextAsync(new Parcel("p", 1));
        Assert.Equal(0, provider.Count);
        var handle = await Stream("k").SubscribeAsync((_, _) => Task.CompletedTask);
        await Soon(Grain("subscriber").Subscribe("k"));
        Assert.Equal(1, provider.Count);
        await handle.UnsubscribeAsync();
        await handle.UnsubscribeAsync();
        await Engine.DeactivateAll();
        Assert.Equal(0, provider.Count);
    }

    [Fact]
    public async Task Publishing_to_a_stream_without_subscribers_allocates_nothing()
    {
        var stream = Stream("unheard");
        var parcel = new Parcel("p", 1);
        await stream.OnNextAsync(parcel);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1_000; i++)
        {
            _ = stream.OnNextAsync(parcel);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public async Task Deactivated_grain_is_not_in_memory_though_its_reference_is_held()
    {
        var reference = Grain();
        var instance = await GetInstance(reference);
        await Engine.DeactivateAll();
        await Until(() =>
        {
            GC.Collect();
            return Task.FromResult(!instance.IsAlive);
        });
        GC.KeepAlive(reference);
        Assert.Empty(Counters.ActiveGrains);

        async Task<WeakReference> GetInstance(ITestGrain grain)
        {
            await Soon(grain.Key());
            return new WeakReference(Engine.Services.GetRequiredService<GrainEngine>().Classes.SelectMany(c => c.Activations).Single().GrainInstance);
        }
    }

    [Fact]
    public async Task Counters_and_meter_tell_grains_calls_and_timeouts()
    {
        var seen = new Dictionary<string, long>(StringComparer.Ordinal);
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, l) =>
            {
                if (instrument.Meter.Name == GrainEngineCounters.MeterName && instrument.Meter.Scope == Engine.Services.GetRequiredService<IMeterFactory>())
                {
                    l.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => seen[$"{instrument.Name} {tags[0].Value}"] = value);
        listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => seen[instrument.Name] = value);
        listener.Start();
        for (var i = 0; i < 5; i++)
        {
            await Soon(Grain($"g{i}").Key());
        }

        listener.RecordObservableInstruments();
        Assert.Equal(5, seen["grains.active test"]);
        Assert.Equal(5, seen["grains.calls"]);
        Assert.Equal(0, seen["grains.call_timeouts"]);
        Assert.Equal(5, Counters.ActiveGrains["test"]);
    }

    [Fact]
    public async Task Call_that_times_out_while_it_waits_is_never_carried_out()
    {
        var first = Grain().Step("first", waitFor: "go");
        await Probe.Passed("first begins");
        var second = Grain().Step("second", null);
        Clock.Advance(TimeSpan.FromSeconds(35));
        await Assert.ThrowsAsync<TimeoutException>(() => Soon(first));
        await Assert.ThrowsAsync<TimeoutException>(() => Soon(second));
        Assert.Equal(2, Counters.CallTimeouts);
        Probe.Gate("go").SetResult();
        await Soon(Grain().Key());
        Assert.DoesNotContain("second begins with 1 inside", Probe.Events);
    }

    [Fact]
    public async Task Killed_engine_runs_no_grain_past_its_next_await()
    {
        var step = Grain().Step("step", waitFor: "go");
        await Probe.Passed("step begins");
        await Engine.Kill();
        await Assert.ThrowsAsync<SiloUnavailableException>(() => Soon(step));
        Probe.Gate("go").SetResult();
        await Engine.DisposeAsync();
        Assert.DoesNotContain("step ends", Probe.Events);
    }

    [Fact]
    public async Task Requests_are_used_again()
    {
        await Soon(Grain().Key());
        var before = RequestRegistry.Count;
        for (var i = 0; i < 10_000; i++)
        {
            await Grain().Key();
        }

        // Other tests run at the same time; ten thousand calls in a row need a handful.
        Assert.InRange(RequestRegistry.Count - before, -100_000, 9_000);
    }

    [Fact]
    public void Interface_without_a_grain_class_is_refused_by_name()
    {
        var thrown = Assert.Throws<ArgumentException>(() => Engine.GrainFactory.GetGrain<INobodysGrain>("a"));
        Assert.Contains(nameof(INobodysGrain), thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Grain_type_is_the_class_name_as_in_Orleans()
    {
        await Soon(Grain("k").Key());
        Assert.Equal("test/k", Grain("k").GetGrainId().ToString());
    }

    [Alias("KlineOrleans.Tests.INobodysGrain")]
    public interface INobodysGrain : IGrainWithStringKey;
}

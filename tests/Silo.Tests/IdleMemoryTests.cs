using System.Diagnostics.Metrics;
using KlineOrleans.Grains;
using KlineOrleans.Silo.Setup;
using KlineOrleans.Testing;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Silo.Tests;

public class IdleMemoryTests
{
    [Fact]
    public void Room_is_given_back_once_a_crowd_has_left_if_it_is_much_and_not_again_for_a_while()
    {
        const long Mega = 1 << 20;
        var time = new ManualTimeProvider();
        using var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        using var memory = new IdleMemory(new GrainMetrics(services.GetRequiredService<IMeterFactory>()), time);
        bool IsDue(long live, long committed) => memory.IsRoomDue(live * Mega, committed * Mega, time.GetTimestamp());

        Assert.False(IsDue(70, 600));
        Assert.True(memory.IsDue(5_000));
        Assert.False(IsDue(70, 190));
        Assert.False(IsDue(400, 700));
        Assert.True(IsDue(70, 600));
        Assert.False(IsDue(70, 600));
        Assert.True(memory.IsDue(10_000));
        Assert.False(IsDue(70, 600));
        time.Advance(TimeSpan.FromMinutes(30));
        Assert.True(IsDue(70, 600));
    }

    [Fact]
    public void Full_collection_is_due_once_for_each_thousand_grains_that_left()
    {
        using var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        using var memory = new IdleMemory(new GrainMetrics(services.GetRequiredService<IMeterFactory>()), TimeProvider.System);

        Assert.Equal([false, false, true, false, false, true], new long[] { 0, 999, 1_000, 1_000, 1_999, 2_500 }.Select(memory.IsDue));
    }
}

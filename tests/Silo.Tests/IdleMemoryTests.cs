using System.Diagnostics.Metrics;
using KlineOrleans.Grains;
using KlineOrleans.Silo.Setup;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Silo.Tests;

public class IdleMemoryTests
{
    [Fact]
    public void Full_collection_is_due_once_for_each_thousand_grains_that_left()
    {
        using var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        using var memory = new IdleMemory(new GrainMetrics(services.GetRequiredService<IMeterFactory>()), TimeProvider.System);

        Assert.Equal([false, false, true, false, false, true], new long[] { 0, 999, 1_000, 1_000, 1_999, 2_500 }.Select(memory.IsDue));
    }
}

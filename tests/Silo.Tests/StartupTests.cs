using KlineOrleans.Silo.Setup;
using KlineOrleans.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace KlineOrleans.Silo.Tests;

public class StartupTests
{
    [Fact]
    public async Task Start_that_fails_stops_what_had_started_before_it_is_disposed_of_and_tells_its_own_reason()
    {
        using var host = new FakeHost();
        host.Stopping.SetException(new TimeoutException("a stop that fails too"));
        host.Disposing.SetResult();

        var error = await Assert.ThrowsAsync<IOException>(() => Startup.Run(host, new ManualTimeProvider()));

        Assert.Equal("the port is taken", error.Message);
        Assert.Equal(["start", "stop", "dispose"], host.Calls);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Start_that_fails_is_told_in_time_though_what_had_started_does_not_end(bool stops)
    {
        using var host = new FakeHost();
        if (stops)
        {
            host.Stopping.SetResult();
        }

        var time = new ManualTimeProvider();
        var run = Startup.Run(host, time);
        await host.Waits.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.False(run.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(6));

        await Assert.ThrowsAsync<IOException>(() => run.WaitAsync(TimeSpan.FromSeconds(30)));
    }

    private sealed class FakeHost : IHost, IAsyncDisposable
    {
        private readonly ServiceProvider _services = new ServiceCollection().BuildServiceProvider();

        public TaskCompletionSource Stopping { get; } = new();

        public TaskCompletionSource Disposing { get; } = new();

        /// <summary>One of them does not end yet.</summary>
        public TaskCompletionSource Waits { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public List<string> Calls { get; } = [];

        public IServiceProvider Services => _services;

        public Task StartAsync(CancellationToken cancellationToken = default)
        {
            Calls.Add("start");
            return Task.FromException(new IOException("the port is taken"));
        }

        public Task StopAsync(CancellationToken cancellationToken = default) => Wait("stop", Stopping.Task);

        public async ValueTask DisposeAsync() => await Wait("dispose", Disposing.Task);

        public void Dispose() => _services.Dispose();

        private Task Wait(string call, Task task)
        {
            Calls.Add(call);
            if (!task.IsCompleted)
            {
                Waits.TrySetResult();
            }

            return task;
        }
    }
}

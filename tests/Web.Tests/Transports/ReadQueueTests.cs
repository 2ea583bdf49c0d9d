using KlineOrleans.Web.Transports.Direct;

namespace KlineOrleans.Web.Tests.Transports;

public sealed class ReadQueueTests
{
    private static readonly TimeSpan Safety = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Other_work_of_the_pool_does_not_wait_for_all_reads_that_came_before_it()
    {
        const int Reads = 4_000;
        var queue = new ReadQueue();
        using var added = new ManualResetEventSlim();
        var done = 0;
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var doneByThen = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        for (var i = 0; i < Reads; i++)
        {
            queue.Add(new Read(() =>
            {
                // Not before all stand in the line: what comes then would be behind all of them in the pool's.
                added.Wait(Safety);
                var number = Interlocked.Increment(ref done);
                if (number == 1)
                {
                    ThreadPool.UnsafeQueueUserWorkItem(_ => doneByThen.TrySetResult(Volatile.Read(ref done)), null);
                }

                // As long as a client's request takes.
                var until = TimeProvider.System.GetTimestamp() + (TimeProvider.System.TimestampFrequency / 20_000);
                while (TimeProvider.System.GetTimestamp() < until)
                {
                    Thread.SpinWait(20);
                }

                if (number == Reads)
                {
                    all.SetResult();
                }
            }));
        }

        added.Set();

        // Behind a few on each of the threads, of which the pool may have more than there are cores.
        Assert.InRange(await doneByThen.Task.WaitAsync(Safety, TestContext.Current.CancellationToken), 1, Reads / 4);
        await all.Task.WaitAsync(Safety, TestContext.Current.CancellationToken);
        Assert.Equal(Reads, done);
    }

    [Fact]
    public async Task Read_that_waits_holds_up_no_other()
    {
        var queue = new ReadQueue();
        using var other = new ManualResetEventSlim();
        var first = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        queue.Add(new Read(() => first.SetResult(other.Wait(Safety))));
        queue.Add(new Read(other.Set));
        Assert.True(await first.Task);
    }

    [Fact]
    public async Task Every_read_goes_on_once_though_the_queue_runs_dry_again_and_again()
    {
        const int Chains = 3;
        const int Reads = 50_000;
        var queue = new ReadQueue();
        var counts = new int[Chains * Reads];
        var left = Chains;
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        void Add(int number) => queue.Add(new Read(() =>
        {
            Interlocked.Increment(ref counts[number]);
            if ((number + 1) % Reads != 0)
            {
                Add(number + 1);
            }
            else if (Interlocked.Decrement(ref left) == 0)
            {
                all.SetResult();
            }
        }));
        for (var i = 0; i < Chains; i++)
        {
            Add(i * Reads);
        }

        await all.Task.WaitAsync(Safety, TestContext.Current.CancellationToken);
        Assert.All(counts, static c => Assert.Equal(1, c));
    }

    private sealed class Read(Action go) : IThreadPoolWorkItem
    {
        public void Execute() => go();
    }
}

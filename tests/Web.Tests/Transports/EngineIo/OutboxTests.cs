using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Tests.Transports.EngineIo;

public sealed class OutboxTests
{
    [Fact]
    public void Outbox_behaves_as_a_list_from_which_an_older_frame_of_a_key_is_taken_out()
    {
        var random = new Random(11);
        var outbox = new Outbox();
        var model = new List<QueuedFrame>();
        for (var i = 0; i < 200_000; i++)
        {
            // Long stretches of filling and of draining, so that the ring grows, wraps and is given back.
            var filling = i / 500 % 2 == 0;
            if (random.Next(10) < (filling ? 7 : 3))
            {
                object? key = random.Next(3) == 0 ? null : random.Next(random.Next(2) == 0 ? 5 : 200);
                var item = new QueuedFrame(EngineIoFrame.Text(new byte[random.Next(20)]), new byte[random.Next(5)], key);
                if (key is not null)
                {
                    var older = model.FindIndex(m => key.Equals(m.Key));
                    Assert.Equal(older >= 0, outbox.Remove(key));
                    if (older >= 0)
                        model.RemoveAt(older);
                }

                outbox.Enqueue(item);
                model.Add(item);
            }
            else if (outbox.TryDequeue(out var item))
            {
                Assert.Equal(model[0], item);
                model.RemoveAt(0);
            }
            else
            {
                Assert.Empty(model);
            }

            Assert.Equal((model.Count, model.Sum(m => (long)m.Length)), (outbox.Count, outbox.Bytes));
        }

        var rest = new List<QueuedFrame>();
        outbox.DrainTo(rest);
        Assert.Equal(model, rest);
        Assert.False(outbox.TryDequeue(out _));
        Assert.Equal((0, 0L), (outbox.Count, outbox.Bytes));
    }

    [Fact]
    public void Frame_replaced_again_and_again_does_not_make_the_queue_grow()
    {
        var outbox = new Outbox();
        outbox.Enqueue(new QueuedFrame(EngineIoFrame.Text("final"u8), default, null));
        var frame = EngineIoFrame.Text("x"u8);
        var key = new object();
        outbox.Enqueue(new QueuedFrame(frame, default, key));
        Replace(100);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Replace(100_000);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 10_000);
        Assert.Equal(2, outbox.Count);

        void Replace(int times)
        {
            for (var i = 0; i < times; i++)
            {
                Assert.True(outbox.Remove(key));
                outbox.Enqueue(new QueuedFrame(frame, default, key));
            }
        }
    }

    [Fact]
    public void Cleared_outbox_is_empty_and_usable()
    {
        var outbox = new Outbox();
        for (var i = 0; i < 100; i++)
            outbox.Enqueue(new QueuedFrame(EngineIoFrame.Text("x"u8), default, i));
        outbox.Clear();
        Assert.Equal((0, 0L), (outbox.Count, outbox.Bytes));
        Assert.False(outbox.Remove(5));
        outbox.Enqueue(new QueuedFrame(EngineIoFrame.Text("y"u8), default, null));
        Assert.True(outbox.TryDequeue(out var item));
        Assert.Equal(2, item.Length);
    }
}

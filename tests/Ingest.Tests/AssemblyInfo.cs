// Live sources are driven against the pace of sockets and measure memory: one at a time.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

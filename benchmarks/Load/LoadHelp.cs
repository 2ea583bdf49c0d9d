namespace KlineOrleans.Benchmarks.Load;

internal static class LoadHelp
{
    public static int Print()
    {
        Console.WriteLine("""
            ./load --url http://127.0.0.1:8080 [--wire raw|binary|socketio|signalr] [--connections 1000] [--symbols 1] [--per-connection 1] [--intervals m1]
                   [--seconds 5] [--slow-share 0] [--connectors 8] [--rates 100,1000] [--reconnect 0] [--warm-up 0] [--json FILE]
              Many clients on one thread, from many addresses in 127.0.0.0/8. --rates sets the feed of a server that ./load serve runs, updates a second, one stretch each.
            ./load serve [--kind product|kestrel|signalr] [--port 8090] [--symbols 1] [--active N] [--conflate true] [--settings "Kline:Key=value;..."]
              A server with a feed of trades whose rate can be set: the whole product, or what it is compared with. --active: so many of the product's symbols are traded.
            ./load peers [--servers npm-socketio,npm-ws,kestrel,signalr-groups,ours-raw,ours-binary,ours-socketio,ours-signalr] [--connections 1000] [--symbols 1]
                   [--deliveries 50000,100000,...] [--p99 50] [--rounds 3] [--seconds 4] [--warm-up 15] [--pin true] [--conflate false]
              Every server in turn, server on core 0 and client on core 1; medians and ratios.
            ./load slow [--wires raw,socketio,signalr] [--connections 1000] [--rate 20] [--turns 5] [--seconds 4] [--ratio 1.1] [--pin true]
              What one client that stops reading costs the others (p99) and the server (heap), in turns without and with it; code 1 if more than it may.
            ./load ceiling [--connections 1000] [--bytes 430] [--messages 1,4,16]
              Plain send() of the same bytes.
            """);
        return 0;
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace KlineOrleans.Benchmarks.Load;

/// <summary><c>./load ceiling</c>: plain send() of the same bytes to so many loopback sockets, which a thread of epoll drains. What no server on sockets can beat.</summary>
internal static class CeilingCommand
{
    public static int Run(Arguments arguments)
    {
        var connections = arguments.Int("connections", 1_000);
        var bytes = arguments.Int("bytes", 430);
        var seconds = arguments.Double("seconds", 3);
        var messages = arguments.Doubles("messages", "1,4,16");
        arguments.CheckAllRead();
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(4_096);
        var epoll = Native.EpollCreate();
        var clients = new Socket[connections];
        var servers = new Socket[connections];
        for (var i = 0; i < connections; i++)
        {
            clients[i] = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            clients[i].Connect(listener.LocalEndPoint!);
            servers[i] = listener.Accept();
            servers[i].NoDelay = true;
            servers[i].Blocking = false;
            Native.EpollAdd(epoll, (int)clients[i].Handle, (int)clients[i].Handle);
        }

        new Thread(() => Drain(epoll)) { IsBackground = true }.Start();
        foreach (var count in messages)
        {
            var block = new byte[(int)(bytes * count)];
            foreach (var native in (bool[])[true, false])
            {
                var sends = 0L;
                var full = 0L;
                var started = Stopwatch.GetTimestamp();
                while (Stopwatch.GetElapsedTime(started).TotalSeconds < seconds)
                {
                    foreach (var server in servers)
                    {
                        if (native)
                        {
                            full += Native.Send((int)server.Handle, block) < 0 ? 1 : 0;
                        }
                        else
                        {
                            server.Send(block, SocketFlags.None, out var error);
                            full += error == SocketError.WouldBlock ? 1 : 0;
                        }

                        sends++;
                    }
                }

                var each = Stopwatch.GetElapsedTime(started).TotalSeconds / sends;
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{(native ? "send()" : "Socket.Send"),-12} {count,3:0} x {bytes} B to {connections:N0} sockets: {1 / each,10:N0} sends/s, {count / each,10:N0} messages/s, {each * 1e6:0.00} us each; one burst {each * connections * 1e3:0.0} ms; {full:N0} found the socket full"));
            }
        }

        return 0;
    }

    private static void Drain(int epoll)
    {
        var buffer = new byte[1 << 18];
        Span<Native.EpollEvent> events = new Native.EpollEvent[512];
        while (true)
        {
            var ready = Native.EpollWait(epoll, events, 100);
            for (var i = 0; i < ready; i++)
            {
                Native.Receive((int)events[i].Data, buffer);
            }
        }
    }
}

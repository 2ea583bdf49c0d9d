using System.Runtime.InteropServices;

namespace KlineOrleans.Benchmarks.Load;

/// <summary>The few calls of Linux that the load client needs: the runtime's sockets cost a wake-up for each read, which would be most of what is measured.</summary>
internal static unsafe partial class Native
{
    public const int EpollIn = 1;
    public const int EpollRdHup = 0x2000;
    public const int DontWait = 0x40;
    public const int NoSignal = 0x4000;
    public const int Again = 11;

    private const int EpollCtlAdd = 1;
    private const int EpollCtlDel = 2;

    [StructLayout(LayoutKind.Sequential, Pack = 1)]
    public struct EpollEvent
    {
        public uint Events;
        public long Data;
    }

    public static int EpollCreate() => Check(epoll_create1(0), "epoll_create1");

    public static void EpollAdd(int epoll, int fd, long data)
    {
        var e = new EpollEvent { Events = EpollIn | EpollRdHup, Data = data };
        Check(epoll_ctl(epoll, EpollCtlAdd, fd, &e), "epoll_ctl");
    }

    public static void EpollRemove(int epoll, int fd)
    {
        var e = default(EpollEvent);
        _ = epoll_ctl(epoll, EpollCtlDel, fd, &e);
    }

    public static int EpollWait(int epoll, Span<EpollEvent> events, int milliseconds)
    {
        fixed (EpollEvent* first = events)
        {
            return epoll_wait(epoll, first, events.Length, milliseconds);
        }
    }

    /// <summary>Bytes read; 0 at the end; -1 with nothing there; -2 on a broken connection.</summary>
    public static int Receive(int fd, Span<byte> buffer)
    {
        fixed (byte* first = buffer)
        {
            var read = (int)recv(fd, first, (nuint)buffer.Length, DontWait);
            return read >= 0 ? read : Marshal.GetLastPInvokeError() == Again ? -1 : -2;
        }
    }

    /// <summary>Bytes taken; -1 where the socket is full; -2 on a broken connection.</summary>
    public static int Send(int fd, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* first = bytes)
        {
            var sent = (int)send(fd, first, (nuint)bytes.Length, DontWait | NoSignal);
            return sent >= 0 ? sent : Marshal.GetLastPInvokeError() == Again ? -1 : -2;
        }
    }

    private static int Check(int result, string call) => result >= 0 ? result : throw new InvalidOperationException($"{call} failed with {Marshal.GetLastPInvokeError()}");

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_create1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_ctl(int epoll, int operation, int fd, EpollEvent* e);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_wait(int epoll, EpollEvent* events, int most, int milliseconds);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint recv(int fd, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint send(int fd, byte* buffer, nuint length, int flags);
}

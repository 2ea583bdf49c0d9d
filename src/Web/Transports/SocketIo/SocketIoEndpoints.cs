using KlineOrleans.Web.Transports.EngineIo;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web.Transports.SocketIo;

/// <summary>Maps Socket.IO endpoints.</summary>
public static class SocketIoEndpoints
{
    /// <summary>Serves Socket.IO 4 (Engine.IO 4, Socket.IO protocol 5) at <paramref name="path"/>, with and without a slash at its end.</summary>
    /// <example>
    /// <code>
    /// app.MapSocketIo("/socket.io", io => io.Namespace("/")
    ///     .OnConnect(socket => socket.Emit("hello", new { id = socket.Id }))
    ///     .On("echo", (socket, e) => e.AckRaw(e.RawArguments.Span))
    ///     .OnDisconnect((socket, reason) => Console.WriteLine(reason.ToText())));
    /// </code>
    /// </example>
    /// <param name="configure">Sets options and describes the namespaces.</param>
    /// <returns>The endpoint's conventions, for a host filter or authorization. Its metadata holds the <see cref="EngineIoServer"/>, with counts.</returns>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public static IEndpointConventionBuilder MapSocketIo(this IEndpointRouteBuilder endpoints, string path, Action<SocketIoOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        ArgumentNullException.ThrowIfNull(configure);
        var options = new SocketIoOptions();
        configure(options);
        options.Validate();
        var logger = endpoints.ServiceProvider.GetRequiredService<ILoggerFactory>().CreateLogger<SocketIoServer>();
        var handler = new SocketIoServer(options, logger);
        return EngineIoEndpoints.Map(endpoints, path, handler, options.Engine, out var engine).WithMetadata(engine).WithDisplayName($"Socket.IO {path}");
    }
}

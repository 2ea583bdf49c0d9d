using System.Buffers;

namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>What an application does with sessions. One instance serves all sessions of an endpoint and is called from many threads.</summary>
/// <remarks>
/// For one session, messages come one after another and in the order in which the client sent them, through an upgrade too; the next is not read
/// until the returned task has ended, which is how a handler slows its client down. <see cref="OnClose"/> comes once, and may come while a message is handled.
/// </remarks>
public interface IEngineIoHandler
{
    /// <summary>A session has begun; what is sent now follows the handshake.</summary>
    void OnOpen(EngineIoSession session);

    /// <summary>A text message: valid UTF-8, in memory that is valid until the returned task ends.</summary>
    ValueTask OnTextAsync(EngineIoSession session, ReadOnlySequence<byte> message);

    /// <summary>A binary message, in memory that is valid until the returned task ends.</summary>
    ValueTask OnBinaryAsync(EngineIoSession session, ReadOnlySequence<byte> data);

    /// <summary>The session has ended. Must not throw.</summary>
    void OnClose(EngineIoSession session, CloseReason reason);
}

namespace KlineOrleans.Protocol.EngineIo;

/// <summary>What came of reading bytes from outside. Bad bytes are expected, so they are a status and not an exception.</summary>
public enum EngineReadStatus : byte
{
    /// <summary>A packet was read.</summary>
    Ok = 0,

    /// <summary>The payload has no further packet.</summary>
    End = 1,

    /// <summary>A packet of no bytes: an empty frame or body, or two separators in a row.</summary>
    EmptyPacket = 2,

    /// <summary>The first byte names no packet type.</summary>
    UnknownType = 3,

    /// <summary>A binary packet is not padded standard base64.</summary>
    BadBase64 = 4,

    /// <summary>A text packet is not UTF-8.</summary>
    BadText = 5,
}

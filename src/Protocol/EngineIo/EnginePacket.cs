using System.Buffers;

namespace KlineOrleans.Protocol.EngineIo;

/// <summary>One Engine.IO packet, read in place.</summary>
/// <param name="Type">What it is for.</param>
/// <param name="IsBase64">
/// Whether it is a binary message in its text form (<c>b...</c>). <paramref name="Data"/> is then valid base64, not yet decoded:
/// see <see cref="Base64Data"/>.
/// </param>
/// <param name="Data">What follows the type, in the caller's buffer: valid only as long as that is.</param>
public readonly record struct EnginePacket(EnginePacketType Type, bool IsBase64, ReadOnlySequence<byte> Data);

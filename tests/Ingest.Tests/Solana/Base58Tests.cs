using System.Numerics;
using System.Text;
using KlineOrleans.Ingest.Solana;

namespace KlineOrleans.Ingest.Tests.Solana;

public sealed class Base58Tests
{
    [Theory]
    [InlineData("", "")]
    [InlineData("61", "2g")]
    [InlineData("626262", "a3gV")]
    [InlineData("73696d706c792061206c6f6e6720737472696e67", "2cFupjhnEsSn59qHXstmK2ffpLv2")]
    [InlineData("516b6fcd0f", "ABnLTmg")]
    [InlineData("00000000000000000000", "1111111111")]
    [InlineData("0000000000000000000000000000000000000000000000000000000000000000", "11111111111111111111111111111111")]
    public void Known_values_are_written_and_read(string hex, string text)
    {
        Assert.Equal(text, Base58.Encode(Convert.FromHexString(hex)));
        Span<byte> bytes = stackalloc byte[64];
        Assert.True(Base58.TryDecode(text, bytes, out var written));
        Assert.Equal(hex, Convert.ToHexStringLower(bytes[..written]));
    }

    [Fact]
    public void Decode_undoes_encode_and_encode_agrees_with_big_integers()
    {
        var random = new Random(7);
        Span<byte> back = stackalloc byte[Base58.MaxBytes];
        for (var i = 0; i < 2_000; i++)
        {
            var bytes = new byte[random.Next(0, 70)];
            random.NextBytes(bytes);
            bytes.AsSpan(0, Math.Min(bytes.Length, random.Next(0, 3))).Clear();
            var text = Base58.Encode(bytes);
            Assert.Equal(Slow(bytes), text);
            Assert.True(Base58.TryDecode(text, back, out var written));
            Assert.Equal(bytes, back[..written].ToArray());
        }
    }

    [Theory]
    [InlineData("0")]
    [InlineData("O")]
    [InlineData("I")]
    [InlineData("l")]
    [InlineData("a b")]
    [InlineData("é")]
    public void Other_characters_are_refused(string text)
    {
        Assert.False(Base58.TryDecode(text, new byte[8], out _));
        Assert.False(Base58.IsText(Encoding.UTF8.GetBytes(text)));
    }

    [Fact]
    public void Number_that_does_not_fit_is_refused()
    {
        Assert.False(Base58.TryDecode(Base58.Encode(new byte[] { 1, 2, 3, 4, 5 }), new byte[4], out _));
        Assert.False(Base58.TryDecode(new string('z', 400), new byte[400], out _));
        Assert.False(PublicKey.TryParse("1111111111111111111111111111111", out _));
        Assert.True(PublicKey.TryParse("JBMmrp6jhksqnxDBskkmVvWHhJLaPBjgiMHEroJbUTBZ", out var key));
        Assert.Equal("JBMmrp6jhksqnxDBskkmVvWHhJLaPBjgiMHEroJbUTBZ", key.ToString());
    }

    private static string Slow(byte[] bytes)
    {
        const string Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        var number = new BigInteger(bytes, isUnsigned: true, isBigEndian: true);
        var text = "";
        for (; number > 0; number /= 58)
        {
            text = Alphabet[(int)(number % 58)] + text;
        }

        return new string('1', bytes.TakeWhile(b => b == 0).Count()) + text;
    }
}

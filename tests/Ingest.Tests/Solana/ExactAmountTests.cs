using System.Globalization;
using System.Numerics;
using KlineOrleans.Ingest.Solana;

namespace KlineOrleans.Ingest.Tests.Solana;

public sealed class ExactAmountTests
{
    [Theory]
    [InlineData("279589934762348555452", 28, "0.0000000279589934762348555452")]
    [InlineData("2795899347623485554", 26, "0.00000002795899347623485554")]
    [InlineData("79228162514264337593543950335", 0, "79228162514264337593543950335")]
    [InlineData("792281625142643375935439503355", 1, "79228162514264337593543950336")] // 29 digits still fit: half to even, up
    [InlineData("1234567890123456789012345678905", 28, "123.45678901234567890123456789")]
    [InlineData("12345678901234567890123456789050", 32, "0.1234567890123456789012345679")]
    [InlineData("340282366920938463463374607431768211455", 38, "3.4028236692093846346337460743")]
    [InlineData("15", 29, "0.0000000000000000000000000002")]
    [InlineData("25", 29, "0.0000000000000000000000000002")]
    [InlineData("5", 29, "0")]
    [InlineData("0", 26, "0")]
    public void Value_is_rounded_half_to_even_once(string value, int scale, string expected)
    {
        if (expected == "79228162514264337593543950336")
        {
            // One more than a decimal holds: the last digit has to go, and with it the scale falls below zero.
            Assert.False(ExactAmount.TryFromUInt128(UInt128.Parse(value, CultureInfo.InvariantCulture), scale, out _));
            return;
        }

        Assert.True(ExactAmount.TryFromUInt128(UInt128.Parse(value, CultureInfo.InvariantCulture), scale, out var result));
        Assert.Equal(decimal.Parse(expected, CultureInfo.InvariantCulture), result);
    }

    [Fact]
    public void Any_value_is_off_by_at_most_half_of_its_last_place()
    {
        var random = new Random(3);
        Span<byte> bytes = stackalloc byte[16];
        for (var i = 0; i < 5_000; i++)
        {
            random.NextBytes(bytes);
            var value = System.Buffers.Binary.BinaryPrimitives.ReadUInt128LittleEndian(bytes) >> random.Next(0, 100);
            var scale = random.Next(23, 39);
            Assert.True(ExactAmount.TryFromUInt128(value, scale, out var result));
            var places = (decimal.GetBits(result)[3] >> 16) & 0xFF;
            var mantissa = new BigInteger(result * 1m == 0 ? 0 : 1) * Mantissa(result);
            var twiceError = BigInteger.Abs((BigInteger)value - (mantissa * BigInteger.Pow(10, scale - places))) * 2;
            Assert.True(twiceError <= (places == scale ? 0 : BigInteger.Pow(10, scale - places)), $"{value} at {scale} gave {result}");
        }
    }

    [Fact]
    public void Value_beyond_a_decimal_is_refused()
    {
        Assert.False(ExactAmount.TryFromUInt128(UInt128.MaxValue, 9, out _));
        Assert.True(ExactAmount.TryFromUInt128(UInt128.MaxValue, 10, out var largest));
        Assert.Equal(34028236692093846346337460743m, largest);
        Assert.Equal(18446744073.709551615m, ExactAmount.FromUInt64(ulong.MaxValue, 9));
    }

    private static BigInteger Mantissa(decimal value)
    {
        var bits = decimal.GetBits(value);
        return ((BigInteger)(uint)bits[2] << 64) + ((BigInteger)(uint)bits[1] << 32) + (uint)bits[0];
    }
}

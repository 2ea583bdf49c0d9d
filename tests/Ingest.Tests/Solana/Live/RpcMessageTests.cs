using System.Text;
using KlineOrleans.Ingest.Solana.Live;

namespace KlineOrleans.Ingest.Tests.Solana.Live;

public sealed class RpcMessageTests
{
    private static RpcMessage Read(string frame) => RpcMessage.Read(Encoding.UTF8.GetBytes(frame));

    [Theory]
    [InlineData("{\"jsonrpc\":\"2.0\",\"result\":24040,\"id\":1}", 1UL, 24040UL)]
    [InlineData("{\"id\":\"7\",\"result\":0,\"jsonrpc\":\"2.0\"}", 7UL, 0UL)]
    [InlineData("{\"jsonrpc\":\"2.0\",\"result\":18446744073709551615,\"id\":18446744073709551615}", ulong.MaxValue, ulong.MaxValue)]
    [InlineData("{\"result\":\"18446744073709551614\",\"id\":3}", 3UL, ulong.MaxValue - 1)]
    public void Confirmation_gives_the_ids_whether_they_are_numbers_or_text(string frame, ulong id, ulong subscription)
    {
        var message = Read(frame);
        Assert.Equal((RpcMessageKind.Response, (ulong?)id, (ulong?)subscription, null), (message.Kind, message.Id, message.Subscription, message.Error));
    }

    [Fact]
    public void Recorded_confirmation_with_a_text_id_of_another_client_has_no_id()
    {
        var message = Read("{\"jsonrpc\":\"2.0\",\"result\":0,\"id\":\"a1e0d5c3-5360-4351-8ce7-e36e49d03e8b\"}");
        Assert.Equal((RpcMessageKind.Response, (ulong?)null), (message.Kind, message.Id));
    }

    [Fact]
    public void Error_gives_its_code_and_message()
    {
        var message = Read("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32602,\"message\":\"Invalid params\",\"data\":{\"a\":[1]}},\"id\":2}");
        Assert.Equal((RpcMessageKind.Response, -32602, "Invalid params", (ulong?)2), (message.Kind, message.ErrorCode, message.Error, message.Id));
    }

    [Fact]
    public void Result_beside_a_null_error_is_no_error() =>
        Assert.Null(Read("{\"jsonrpc\":\"2.0\",\"error\":null,\"result\":5,\"id\":2}").Error);

    [Theory]
    [InlineData("{\"jsonrpc\":\"2.0\",\"method\":\"slotNotification\",\"params\":{\"result\":{\"parent\":75,\"root\":44,\"slot\":76},\"subscription\":9}}")]
    [InlineData("{\"params\":{\"subscription\":9,\"result\":{\"slot\":76,\"extra\":{\"slot\":1},\"root\":44}},\"method\":\"slotNotification\"}")]
    public void Slot_notification_gives_slot_and_root_in_any_order_of_members(string frame)
    {
        var message = Read(frame);
        Assert.Equal((RpcMessageKind.SlotNotification, 76L, 44L, (ulong?)9), (message.Kind, message.Slot, message.Root, message.Subscription));
    }

    [Fact]
    public void Log_notification_is_known_where_the_method_stands_last() =>
        Assert.Equal(RpcMessageKind.LogsNotification, Read("{\"params\":{\"result\":{},\"subscription\":18446744073709551615},\"method\":\"logsNotification\"}").Kind);

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("7")]
    [InlineData("{\"a\":1}{}")]
    [InlineData("{\"method\":\"slotNotification\",\"params\":null}")]
    [InlineData("{\"method\":\"slotNotification\",\"params\":{\"result\":{\"slot\":\"76\"}}}")]
    [InlineData("{\"method\":\"slotNotification\",\"params\":{\"result\":{\"slot\":-1}}}")]
    [InlineData("{\"method\":\"slotNotification\",\"params\":{\"result\":{\"slot\":1e30}}}")]
    [InlineData("{\"method\":\"\\ud800\",\"params\":")]
    public void What_is_no_message_is_malformed(string frame) => Assert.Equal(RpcMessageKind.Malformed, Read(frame).Kind);

    [Theory]
    [InlineData("{\"jsonrpc\":\"2.0\",\"method\":\"slotNotification\",\"params\":{\"result\":{\"parent\":75,\"root\":44,\"slot\":76},\"subscription\":9}}")]
    [InlineData("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32602,\"message\":\"Invalid params\"},\"id\":2}")]
    public void Message_cut_at_any_byte_is_malformed(string frame)
    {
        for (var length = 0; length < frame.Length; length++)
        {
            Assert.Equal(RpcMessageKind.Malformed, Read(frame[..length]).Kind);
        }
    }
}

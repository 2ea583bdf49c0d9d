using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Grains;

public sealed partial class KlineGrain
{
    private int _lateLogged;

    private void LogLate(in Trade trade)
    {
        // The first of an activation is named; the metric counts them all.
        if (_lateLogged++ == 0)
        {
            LogLateTrade(_symbol, trade.Order.Id.ToString(), trade.EventTime, _builder!.Clock, _builder.Rules.CorrectionWindow);
        }
    }

    [LoggerMessage(1001, LogLevel.Warning, "{Symbol}: trade {TradeId} of {EventTime:O} is dropped: the clock is at {Clock:O} and the correction window is {Window}. Further ones of this mint are only counted.")]
    private partial void LogLateTrade(string symbol, string tradeId, DateTimeOffset eventTime, DateTimeOffset clock, TimeSpan window);

    [LoggerMessage(1002, LogLevel.Error, "{Symbol}: saving failed and is tried again: {Reason}")]
    private partial void LogSaveFailed(string symbol, string reason, Exception error);

    [LoggerMessage(1003, LogLevel.Warning, "{Symbol}: update {Seq} was not published: {Reason}. Feeds notice the hole and take a snapshot.")]
    private partial void LogPublishFailed(string symbol, long seq, string reason, Exception error);

    [LoggerMessage(1004, LogLevel.Information, "{Symbol}: source '{Old}' is no longer configured; '{New}' feeds it from now on.")]
    private partial void LogSourceChanged(string symbol, string old, string @new);

    [LoggerMessage(1005, LogLevel.Error, "{Symbol}: moving the clock failed and is tried again: {Reason}")]
    private partial void LogTimerFailed(string symbol, string reason, Exception error);
}

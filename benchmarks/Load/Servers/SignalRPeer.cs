using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Benchmarks.Load;

/// <summary>The framework's own way: a SignalR hub and its groups.</summary>
internal static class SignalRPeer
{
    public static WebApplication Compose(int symbols)
    {
        var builder = ServeCommand.NewBuilder();
        builder.Services.AddSignalR();
        var app = builder.Build();
        app.MapHub<GroupHub>("/hubs/kline");
        var hub = app.Services.GetRequiredService<IHubContext<GroupHub>>();
        var seqs = new long[symbols];
        ServeCommand.MapRate(app, new Pacer((number, stamp) =>
        {
            var symbol = (int)(number % symbols);
            var now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
            var kline = new PeerKline("m1", now / 60_000 * 60_000, (now / 60_000 * 60_000) + 60_000, stamp, stamp, stamp, stamp, 1.5, 2.25, 1, 1.5, 2.25, "1", "1", 1, 0, false);
            _ = hub.Clients.Group(symbol.ToString(CultureInfo.InvariantCulture)).SendAsync("kline", new PeerUpdate(LoadNames.Symbol(symbol), now, ++seqs[symbol], now, now, [kline]));
        }));
        return app;
    }

    internal sealed record PeerRequest(string Symbol);

    internal sealed record PeerUpdate(string Symbol, long Epoch, long Seq, long EventTime, long SentAt, PeerKline[] Klines);

    internal sealed record PeerKline(string Interval, long OpenTime, long EndTime, double Open, double High, double Low, double Close, double BaseVolume, double QuoteVolume, int Trades, double TakerBuyBase, double TakerBuyQuote, string FirstTradeId, string LastTradeId, int Updates, int Revision, bool IsFinal);

    internal sealed class GroupHub : Hub
    {
        public async Task<bool> Subscribe(PeerRequest request)
        {
            await Groups.AddToGroupAsync(Context.ConnectionId, int.Parse(request.Symbol[^5..], CultureInfo.InvariantCulture).ToString(CultureInfo.InvariantCulture));
            return true;
        }
    }
}

using System.Globalization;
using System.Text.Json;
using KlineOrleans.Web.Transports.Events;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web.Transports.RawWebSocket;

/// <summary>One client of /ws/kline/live: what it asks for replaces what it asked for before.</summary>
internal sealed class LiveClient(Client client, AccessGrant grant, WebSocketServer server, EventServices services)
{
    private const string Shape = "{\"subscribe\": a symbol or an array of symbols}";

    public async Task Handle(ReadOnlyMemory<byte> message)
    {
        ApiError? error;
        var limits = services.Hub.Options.Limits;
        if (!client.Rate.TryTake())
        {
            error = new ApiError(ApiErrorCode.RateLimit, string.Create(CultureInfo.InvariantCulture, $"More than {limits.MessagesPerSecond} requests a second. Wait, then try again."));
        }
        else
        {
            try
            {
                error = await Answer(message);
            }
            catch (Exception e)
            {
                services.Log.LogWarning(1524, e, "A subscription on /ws/kline/live could not be made");
                error = ApiError.HistoryUnavailable;
            }
        }

        if (error is null)
        {
            return;
        }

        var payload = new Payload(HubJson.Make(error, static (json, error) =>
        {
            json.WriteStartObject();
            json.WriteString("error", error.Sentence);
            json.WriteNumber("code", (int)error.Code);
            json.WriteEndObject();
        }));
        if (error.Code != ApiErrorCode.RateLimit || client.Rate.Refused <= limits.MessageBurst)
        {
            client.Session.Send(payload);
            return;
        }

        try
        {
            // A last word, for which what waits must leave first.
            await client.Session.SendAnswer(payload).WaitAsync(WebSocketServer.Patience, services.Hub.Time);
        }
        catch (TimeoutException)
        {
            // It does not read what it is sent.
        }

        client.Close(DisconnectReason.RateLimit);
    }

    private async Task<ApiError?> Answer(ReadOnlyMemory<byte> message)
    {
        if (!EventRequest.TryParse(message, services.Hub.Options.Limits.JsonDepth, out var document, out var error))
        {
            return error;
        }

        using (document)
        {
            return TrySymbols(document!.RootElement, out var symbols, out var isArray, out error) ? await Follow(symbols, isArray) : error;
        }
    }

    private async Task<ApiError?> Follow(HashSet<string> symbols, bool isArray)
    {
        // All or nothing: what was asked for before goes on if this cannot be done.
        if (symbols.Count > grant.SubscriptionLimit)
        {
            return new ApiError(ApiErrorCode.SubscriptionLimit, string.Create(CultureInfo.InvariantCulture, $"A client may follow {grant.SubscriptionLimit} symbols; this one asks for {symbols.Count}."));
        }

        foreach (var symbol in symbols)
        {
            if ((grant.Check(symbol) ?? await services.Hub.Symbols.Check(symbol, CancellationToken.None)) is { } error)
            {
                return error;
            }
        }

        client.UnfollowOthers(symbols);
        foreach (var symbol in symbols)
        {
            var feed = await services.Hub.Feeds.Enter(symbol);
            var format = server.Live(isArray, services.HasVolume(symbol, feed.Source));

            // What is followed already goes on: to begin anew would lose what waits, and this wire has no history to make up for it.
            if (client.TryKeep(symbol, 0, format, old => new Follower(client.Session, symbol, format, old.Intervals)))
            {
                services.Hub.Feeds.Leave(feed);
                continue;
            }

            var followed = client.Follow(feed, IntervalBits.Of(feed.Rules.Intervals), bits => new Follower(client.Session, symbol, format, bits), null, 1, client.Session.RoomForMissed, cost: 1);
            if (followed is null)
            {
                // The client is gone.
                services.Hub.Feeds.Leave(feed);
                return null;
            }

            client.Session.Release(followed.Value.Follower);
        }

        return null;
    }

    private static bool TrySymbols(JsonElement json, out HashSet<string> symbols, out bool isArray, out ApiError? error)
    {
        symbols = new HashSet<string>(StringComparer.Ordinal);
        isArray = false;
        error = null;
        JsonElement value = default;
        try
        {
            if (json.ValueKind == JsonValueKind.Object && json.TryGetProperty("subscribe", out value))
            {
                isArray = value.ValueKind == JsonValueKind.Array;
                if (!isArray && EventRequestText(value) is { } one)
                {
                    symbols.Add(one);
                    return true;
                }

                if (isArray)
                {
                    foreach (var element in value.EnumerateArray())
                    {
                        if (EventRequestText(element) is not { } symbol)
                        {
                            error = ApiError.Bad("subscribe", element.GetRawText(), Shape);
                            return false;
                        }

                        symbols.Add(symbol);
                    }

                    return true;
                }
            }
        }
        catch (InvalidOperationException)
        {
            // A name with half an escaped character.
        }

        error = ApiError.Bad("message", json.GetRawText(), Shape);
        return false;
    }

    private static string? EventRequestText(JsonElement element) =>
        element.ValueKind == JsonValueKind.String && EventRequest.TryString(element, out var text) ? text : null;
}

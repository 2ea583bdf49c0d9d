namespace KlineOrleans.Web;

/// <summary>The schemas that <see cref="RouteDoc"/>s name, as a document of their own.</summary>
internal static class OpenApiSchemas
{
    private const string Number = """{ "type": ["number", "string"], "description": "A number, or with exact=true a decimal string." }""";

    private const string Paging = """
        "total": { "type": ["integer", "null"], "description": "Null where there are more than were counted." },
        "page": { "type": "integer" }, "limit": { "type": "integer" }, "has_next": { "type": "boolean" }, "has_prev": { "type": "boolean" }
        """;

    private const string Stats = """
        "active_connections": { "type": "integer" },
        "connections_by_wire": { "type": "object", "additionalProperties": { "type": "integer" } },
        "total_subscriptions": { "type": "integer" },
        "monitored_mints": { "type": "integer" },
        "top_mints": { "type": "array", "items": { "type": "object", "properties": { "mint": { "type": "string" }, "clients": { "type": "integer" } } } }
        """;

    public const string Json = $$"""
        {
          "openapi": "3.1.0",
          "info": { "title": "schemas", "version": "1" },
          "paths": {},
          "components": { "schemas": {
            "Problem": {
              "type": "object", "description": "RFC 9457, with code (1001 bad request, 1002 subscription limit, 1003 history failed, 1004 rate limit, 1005 not authorised, 1006 busy).",
              "required": ["type", "title", "status", "detail"],
              "properties": {
                "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" }, "detail": { "type": "string" },
                "code": { "type": "integer" }, "key": { "type": "string" }, "value": { "type": ["string", "null"] }, "allowed": { "type": ["string", "null"] } }
            },
            "Kline": {
              "type": "object",
              "required": ["interval", "openTime", "endTime", "open", "high", "low", "close", "baseVolume", "quoteVolume", "trades", "takerBuyBase", "takerBuyQuote", "firstTradeId", "lastTradeId", "updates", "revision", "isFinal"],
              "properties": {
                "interval": { "type": "string" },
                "openTime": { "type": "integer", "format": "int64", "description": "Unix milliseconds, included." },
                "endTime": { "type": "integer", "format": "int64", "description": "Unix milliseconds, not included." },
                "open": {{Number}}, "high": {{Number}}, "low": {{Number}}, "close": {{Number}},
                "baseVolume": {{Number}}, "quoteVolume": {{Number}},
                "trades": { "type": "integer", "format": "int64" },
                "takerBuyBase": {{Number}}, "takerBuyQuote": {{Number}},
                "firstTradeId": { "type": ["string", "null"] }, "lastTradeId": { "type": ["string", "null"] },
                "updates": { "type": "integer" }, "revision": { "type": "integer" }, "isFinal": { "type": "boolean" } }
            },
            "Klines": {
              "type": "object", "required": ["symbol", "interval", "klines", "next"],
              "properties": {
                "symbol": { "type": "string" }, "interval": { "type": "string" },
                "klines": { "type": "array", "items": { "$ref": "#/components/schemas/Kline" } },
                "next": { "type": ["string", "null"], "description": "The cursor of the following page." } }
            },
            "Symbol": {
              "type": "object", "required": ["symbol", "name", "source", "simulated", "listedTime", "intervals"],
              "properties": {
                "symbol": { "type": "string" }, "name": { "type": "string" }, "source": { "type": "string" }, "simulated": { "type": "boolean" },
                "listedTime": { "type": "integer", "format": "int64", "description": "Unix milliseconds." },
                "intervals": { "type": "array", "items": { "type": "string" } } }
            },
            "Symbols": {
              "type": "object", "required": ["symbols", "next"],
              "properties": { "symbols": { "type": "array", "items": { "$ref": "#/components/schemas/Symbol" } }, "next": { "type": ["string", "null"] } }
            },
            "TokenRequest": {
              "type": "object", "additionalProperties": false,
              "properties": {
                "symbols": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 64, "description": "Default: all that the key may see." },
                "subscriptions": { "type": "integer", "minimum": 1, "description": "Default: as the key." },
                "expiresIn": { "type": "integer", "minimum": 1, "description": "Seconds." } }
            },
            "Token": {
              "type": "object", "required": ["token", "expires"],
              "properties": { "token": { "type": "string" }, "expires": { "type": "integer", "format": "int64", "description": "Unix milliseconds." } }
            },
            "Candle": {
              "type": "object", "required": ["time", "open", "high", "low", "close", "volume", "is_final", "update_count"],
              "properties": {
                "time": { "type": "integer", "format": "int64", "description": "Open time in Unix seconds." },
                "open": { "type": "number" }, "high": { "type": "number" }, "low": { "type": "number" }, "close": { "type": "number" },
                "volume": { "type": "number", "description": "0 for chain sources unless Kline:Compat:Volume is Real." },
                "is_final": { "type": "boolean" }, "update_count": { "type": "integer" },
                "base_volume": { "type": "number" }, "quote_volume": { "type": "number" }, "trade_count": { "type": "integer" }, "revision": { "type": "integer" } }
            },
            "KlinePage": { "type": "object", "required": ["success", "data", "message"], "properties": {
              "success": { "type": "boolean" }, "message": { "type": "string" },
              "data": { "type": "object", "properties": { "klines": { "type": "array", "items": { "$ref": "#/components/schemas/Candle" } }, {{Paging}}, "interval": { "type": "string" }, "mint_account": { "type": "string" } } } } },
            "MintPage": { "type": "object", "required": ["success", "data", "message"], "properties": {
              "success": { "type": "boolean" }, "message": { "type": "string" },
              "data": { "type": "object", "properties": { "mints": { "type": "array", "items": { "type": "string" } }, {{Paging}}, "next_cursor": { "type": ["string", "null"] }, "sort_by": { "type": "string" } } } } },
            "EventPage": { "type": "object", "required": ["success", "data", "message"], "properties": {
              "success": { "type": "boolean" }, "message": { "type": "string" },
              "data": { "type": "object", "properties": { "events": { "type": "array", "items": { "type": "object", "required": ["event_type", "timestamp", "signature", "slot"], "properties": { "event_type": { "type": "string" }, "timestamp": { "type": "string", "format": "date-time" }, "signature": { "type": "string" }, "slot": { "type": "integer" } } } }, {{Paging}} } } } },
            "EventStatus": { "type": "object", "required": ["success", "data", "message"], "properties": {
              "success": { "type": "boolean" }, "message": { "type": "string" },
              "data": { "type": "object", "properties": {
                "is_running": { "type": "boolean" }, "last_event_time": { "type": ["string", "null"], "format": "date-time" }, "total_events_processed": { "type": "integer" },
                "connection_status": { "type": "string", "enum": ["connected", "connecting", "disconnected"] }, "program_id": { "type": "string" },
                "sources": { "type": "array", "items": { "type": "object", "properties": { "name": { "type": "string" }, "kind": { "type": "string" }, "simulated": { "type": "boolean" }, "state": { "type": "string" }, "trades": { "type": "integer" }, "events": { "type": "integer" } } } } } } } },
            "ServerTime": { "type": "object", "required": ["success", "data", "message"], "properties": {
              "success": { "type": "boolean" }, "message": { "type": "string" },
              "data": { "type": "object", "properties": { "timestamp": { "type": "integer", "format": "int64", "description": "Unix seconds." }, "utc": { "type": "string" }, "local": { "type": "string" }, "iso8601": { "type": "string" }, "format": { "type": "string" } } } } },
            "KlineStatus": { "type": "object", "required": ["success", "data", "message"], "properties": {
              "success": { "type": "boolean" }, "message": { "type": "string" },
              "data": { "type": "object", "properties": { "enabled": { "type": "boolean" }, "service_status": { "type": "string" }, "stats": { "type": "object", "properties": {
                "active_connections": { "type": "integer" }, "total_subscriptions": { "type": "integer" }, "monitored_mints": { "type": "integer" },
                "config": { "type": "object", "properties": { "connection_timeout": { "type": "integer" }, "max_subscriptions_per_client": { "type": "integer" }, "ping_interval": { "type": "integer" }, "ping_timeout": { "type": "integer" } } } } } } } } },
            "KlineStats": { "type": "object", "required": ["success", "data", "message"], "properties": {
              "success": { "type": "boolean" }, "message": { "type": "string" }, "data": { "type": "object", "properties": { {{Stats}} } } } },
            "SocketMetrics": { "type": "object", "required": ["success", "data", "message"], "properties": {
              "success": { "type": "boolean" }, "message": { "type": "string" }, "data": { "type": "object", "properties": { {{Stats}},
                "messages": { "type": "object", "properties": { "sent": { "type": "integer" }, "sent_bytes": { "type": "integer" }, "failed": { "type": "integer" }, "conflated": { "type": "integer" } } },
                "sessions_ended": { "type": "object", "additionalProperties": { "type": "integer" } },
                "closed_as_slow": { "type": "integer" },
                "latency_ms": { "type": "object", "properties": { "count": { "type": "integer" }, "p50": { "type": "number" }, "p90": { "type": "number" }, "p95": { "type": "number" }, "p99": { "type": "number" }, "p999": { "type": "number" }, "max": { "type": "number" } } } } } } },
            "OperatorStatus": { "type": "object", "required": ["time", "health", "web", "grains", "storage", "process"], "properties": {
              "time": { "type": "integer", "format": "int64", "description": "Unix milliseconds." },
              "health": { "type": "object", "description": "As /health." }, "web": { "type": "object", "description": "As data of /api/ws/metrics." },
              "grains": { "type": "object", "additionalProperties": { "type": "number" } },
              "storage": { "type": "object", "description": "Empty where the store tells nothing.", "additionalProperties": { "type": "integer" } },
              "process": { "type": "object", "properties": { "processorSeconds": { "type": "number" }, "memoryBytes": { "type": "integer" }, "managedBytes": { "type": "integer" } } } } },
            "KlineSubscriptions": { "type": "object", "required": ["success", "data", "message"], "properties": {
              "success": { "type": "boolean" }, "message": { "type": "string" }, "data": { "type": "object", "properties": {
                "timestamp": { "type": "integer" }, "total_connections": { "type": "integer" }, "total_rooms": { "type": "integer" },
                "clients": { "type": "array", "items": { "type": "object", "properties": {
                  "socket_id": { "type": "string" }, "wire": { "type": "string" },
                  "subscriptions": { "type": "array", "items": { "type": "object", "properties": { "symbol": { "type": "string" }, "interval": { "type": "string" } } } },
                  "subscription_count": { "type": "integer" }, "connection_duration_seconds": { "type": "integer" }, "last_activity_seconds_ago": { "type": "integer" },
                  "message_stats": { "type": "object", "properties": { "total_messages_sent": { "type": "integer" } } } } } },
                "rooms": { "type": "array", "items": { "type": "object", "properties": {
                  "room_name": { "type": "string" }, "mint": { "type": "string" }, "interval": { "type": "string" }, "subscriber_count": { "type": "integer" },
                  "subscribers": { "type": "array", "items": { "type": "string" } } } } } } } } },
            "UdfConfig": { "type": "object", "properties": {
              "supports_search": { "type": "boolean" }, "supports_group_request": { "type": "boolean" }, "supports_marks": { "type": "boolean" }, "supports_timescale_marks": { "type": "boolean" }, "supports_time": { "type": "boolean" },
              "supported_resolutions": { "type": "array", "items": { "type": "string" } },
              "exchanges": { "type": "array", "items": { "type": "object" } }, "symbols_types": { "type": "array", "items": { "type": "object" } } } },
            "UdfSymbol": { "type": "object", "description": "LibrarySymbolInfo of the charting library, or s: error.", "properties": {
              "s": { "type": "string" }, "errmsg": { "type": "string" }, "name": { "type": "string" }, "full_name": { "type": "string" }, "ticker": { "type": "string" }, "description": { "type": "string" }, "type": { "type": "string" },
              "session": { "type": "string" }, "timezone": { "type": "string" }, "exchange": { "type": "string" }, "listed_exchange": { "type": "string" }, "format": { "type": "string" },
              "minmov": { "type": "integer" }, "minmov2": { "type": "integer" }, "pricescale": { "type": "integer", "format": "int64" },
              "has_seconds": { "type": "boolean" }, "has_intraday": { "type": "boolean" }, "has_daily": { "type": "boolean" }, "has_weekly_and_monthly": { "type": "boolean" },
              "supported_resolutions": { "type": "array", "items": { "type": "string" } }, "volume_precision": { "type": "integer" }, "data_status": { "type": "string" } } },
            "UdfFound": { "type": "array", "items": { "type": "object", "properties": {
              "symbol": { "type": "string" }, "full_name": { "type": "string" }, "ticker": { "type": "string" }, "description": { "type": "string" }, "exchange": { "type": "string" }, "type": { "type": "string" } } } },
            "UdfBars": { "type": "object", "required": ["s"], "properties": {
              "s": { "type": "string", "enum": ["ok", "no_data", "error"] }, "errmsg": { "type": "string" }, "nextTime": { "type": "integer", "format": "int64" },
              "t": { "type": "array", "items": { "type": "integer", "format": "int64" } },
              "o": { "type": "array", "items": { "type": "number" } }, "h": { "type": "array", "items": { "type": "number" } }, "l": { "type": "array", "items": { "type": "number" } },
              "c": { "type": "array", "items": { "type": "number" } }, "v": { "type": "array", "items": { "type": "number" } } } }
          } }
        }
        """;
}

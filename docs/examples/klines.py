"""Klines of one symbol: the newest over HTTP, with exact prices; with --follow every change, too.

    python3 docs/examples/klines.py http://127.0.0.1:8080 [SYMBOL] [INTERVAL] [--follow]

HTTP needs the standard library alone; --follow needs the package websocket-client (Debian: python3-websocket).
"""
import json
import sys
from datetime import datetime, timezone
from decimal import Decimal
from urllib.parse import quote
from urllib.request import urlopen

args = [a for a in sys.argv[1:] if a != "--follow"]
server = args[0].rstrip("/") if args else "http://127.0.0.1:8080"


def get(path):
    with urlopen(server + path, timeout=30) as answer:
        return json.load(answer)


symbol = args[1] if len(args) > 1 else get("/api/v1/symbols?limit=1")["symbols"][0]["symbol"]
interval = args[2] if len(args) > 2 else "m1"

# Oldest first, page by page: next is the cursor of the following page, or null. Here the newest hour alone.
klines, cursor = [], None
newest = get(f"/api/v1/klines/{quote(symbol)}/{interval}?limit=1")["klines"][-1]["endTime"]
while True:
    page = get(f"/api/v1/klines/{quote(symbol)}/{interval}?exact=true&limit=50&from={newest - 3_600_000}&to={newest}" + (f"&cursor={quote(cursor)}" if cursor else ""))
    klines += page["klines"]
    cursor = page["next"]
    if cursor is None:
        break

for kline in klines[-5:]:
    opened = datetime.fromtimestamp(kline["openTime"] / 1000, timezone.utc)
    print(f"{opened:%Y-%m-%d %H:%M:%S} {symbol} {interval} close {Decimal(kline['close'])} {'final' if kline['isFinal'] else 'forming'}", flush=True)

if "--follow" in sys.argv:
    import websocket  # websocket-client

    socket = websocket.create_connection(server.replace("http", "ws", 1) + "/ws")
    socket.send(json.dumps({"msg_type": "subscribe", "symbol": symbol, "interval": interval, "limit": 1}))
    while True:
        message = json.loads(socket.recv())
        if message["type"] == "kline_data":
            kline = message["data"]["data"]
            print(f"{datetime.fromtimestamp(kline['time'], timezone.utc):%Y-%m-%d %H:%M:%S} {symbol} {interval} close {kline['close']} {'final' if kline['is_final'] else 'forming'}", flush=True)

import { afterEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import type { KlineClient, Watch } from "../src/client.js";
import { signalr } from "../src/signalr.js";
import type { Kline } from "../src/types.js";
import { webSocket, type Socket } from "../src/websocket.js";

// Against a running server with a moving market: KLINE_SERVER=http://127.0.0.1:8080 npm run test:server
const server = process.env["KLINE_SERVER"];
if (server === undefined) throw new Error("KLINE_SERVER is not set: it names the server, as in http://127.0.0.1:8080");
const sockets: WebSocket[] = [];
let client: KlineClient | undefined;

const clients: [string, () => KlineClient, boolean][] = [
  ["SignalR", () => signalr(server!), true],
  ["WebSocket", () => webSocket(`${server!.replace("http", "ws")}/ws`, {
    socket: (url) => {
      const socket = new WebSocket(url);
      sockets.push(socket);
      return socket as unknown as Socket;
    },
  }), false],
];

afterEach(async () => {
  await client?.stop();
  client = undefined;
});

/** What HTTP says of the finals that a watch holds must be what the watch says. */
async function equalsHttp(watch: Watch): Promise<void> {
  const finals = watch.klines.filter(({ isFinal }) => isFinal).slice(-50);
  const from = finals[0]!.openTime;
  const answer = await (await fetch(`${server}/api/v1/klines/${watch.symbol}/${watch.interval}?from=${from}&to=${finals.at(-1)!.endTime}&limit=1000`)).json() as { klines: Kline[] };
  const known = new Map(answer.klines.map((each) => [each.openTime, each]));
  for (const { openTime, open, high, low, close, baseVolume, quoteVolume, trades, revision } of finals) {
    const { open: o, high: h, low: l, close: c, baseVolume: b, quoteVolume: q, trades: t, revision: r } = known.get(openTime)!;
    expect({ openTime, open, high, low, close, baseVolume, quoteVolume, trades, revision }).toEqual({ openTime, open: o, high: h, low: l, close: c, baseVolume: b, quoteVolume: q, trades: t, revision: r });
  }

  expect(answer.klines.filter(({ isFinal }) => isFinal).map(({ openTime }) => openTime)).toEqual(finals.map(({ openTime }) => openTime));
}

describe.each(clients)("a client over %s, with a real server", (_, make, overSignalr) => {
  test("finds symbols, follows one live, loads history, and equals HTTP", async () => {
    client = make();
    client.start();
    await vi.waitFor(() => expect(client!.connected).toBe(true), 10_000);
    const { symbol } = (await client.symbols("", 1))[0]!;
    const watch = client.watch(symbol, "s1");
    await vi.waitFor(() => expect(watch.klines.length).toBeGreaterThan(5), 10_000);
    const newest = watch.klines.at(-1)!.openTime;
    await vi.waitFor(() => expect(watch.klines.filter(({ openTime, isFinal }) => openTime > newest && isFinal).length).toBeGreaterThan(2), 15_000);
    await equalsHttp(watch);
    const count = watch.klines.length;
    expect(await watch.loadOlder()).toBe(true);
    await vi.waitFor(() => expect(watch.klines.length).toBeGreaterThan(count), 10_000);
    expect(watch.klines.every(({ openTime }, i, all) => i === 0 || all[i - 1]!.openTime < openTime)).toBe(true);
  });

  test.skipIf(overSignalr)("a broken socket is resumed without a hole", async () => {
    client = make();
    client.start();
    await vi.waitFor(() => expect(client!.connected).toBe(true), 10_000);
    const { symbol } = (await client.symbols("", 1))[0]!;
    const watch = client.watch(symbol, "s1");
    await vi.waitFor(() => expect(watch.opened).toBe(true), 10_000);
    const before = watch.klines.at(-1)!.openTime;
    sockets.at(-1)!.terminate();
    await vi.waitFor(() => expect(client!.connected).toBe(false), 10_000);
    await vi.waitFor(() => expect(watch.klines.filter(({ openTime, isFinal }) => openTime > before && isFinal).length).toBeGreaterThan(2), 20_000);
    await equalsHttp(watch);
  });

  test("a symbol that cannot be is refused with code 1001", async () => {
    client = make();
    client.start();
    await vi.waitFor(() => expect(client!.connected).toBe(true), 10_000);
    const watch = client.watch("x", "s1");
    await vi.waitFor(() => expect(watch.refusal?.code).toBe(1001), 10_000);
    expect(watch.refusal!.retry).toBe(false);
  });
});

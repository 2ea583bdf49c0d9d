import { afterEach, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import type { KlineClient, Watch } from "../src/client.js";
import { signalr } from "../src/signalr.js";
import type { Interval, Kline } from "../src/types.js";
import { webSocket, type Socket } from "../src/websocket.js";

// Against a server that plays a recording with late trades, over a link that is cut every now and then, until the recording ends; KLINE_SERVER names the link.
const server = process.env["KLINE_SERVER"];
if (server === undefined) throw new Error("KLINE_SERVER is not set: it names the server, as in http://127.0.0.1:8080");
const clients: KlineClient[] = [];

afterEach(async () => {
  await Promise.all(clients.map((client) => client.stop()));
});

/** What the server answers; a link that is cut meanwhile is asked again. */
async function ask<T>(path: string): Promise<T> {
  return vi.waitFor(async () => (await fetch(`${server}${path}`)).json() as Promise<T>, { timeout: 30_000, interval: 50 });
}

async function all(symbol: string, interval: Interval): Promise<Kline[]> {
  const klines: Kline[] = [];
  for (let cursor = ""; ;) {
    const page = await ask<{ klines: Kline[]; next: string | null }>(`/api/v1/klines/${symbol}/${interval}?from=0&limit=1000${cursor}`);
    klines.push(...page.klines);
    if (page.next === null) return klines;
    cursor = `&cursor=${encodeURIComponent(page.next)}`;
  }
}

// A kline without trades follows the one before it: sent live it carries that one's revision, derived from history it has none.
const row = ({ openTime, open, high, low, close, baseVolume, quoteVolume, trades, revision, isFinal }: Kline): unknown[] => [openTime, open, high, low, close, baseVolume, quoteVolume, trades, trades === 0 ? 0 : revision, isFinal];

function differences(held: unknown[][], expected: unknown[][]): string[] {
  const [a, b] = [held, expected].map((rows) => new Map(rows.map((each) => [each[0] as number, JSON.stringify(each)])));
  return [...new Set([...a!.keys(), ...b!.keys()])].sort((x, y) => x - y).filter((time) => a!.get(time) !== b!.get(time)).map((time) => `held ${a!.get(time)}, of HTTP ${b!.get(time)}`);
}

test("an hour of trades with corrections, over links that break, ends with the klines of HTTP on both wires", async () => {
  clients.push(signalr(server!), webSocket(`${server!.replace("http", "ws")}/ws`, { socket: (url) => new WebSocket(url) as unknown as Socket }));
  const breaks = clients.map(() => 0);
  clients.forEach((client, i) => client.onState((state) => {
    if (state === "reconnecting") breaks[i]!++;
  }));
  for (const client of clients) client.start();
  const watches: Watch[] = [];
  let corrections = 0;
  for (const client of clients) {
    for (const [symbol, interval] of [["SYM0USDT", "s1"], ["SYM0USDT", "m1"], ["SYM1USDT", "s5"], ["SYM2USDT", "h1"]] as const) {
      const watch = client.watch(symbol, interval);
      watch.subscribe(({ changed }) => corrections += changed.filter(({ isFinal, revision }) => isFinal && revision > 0).length);
      watches.push(watch);
    }
  }

  await vi.waitFor(() => expect(watches.every(({ opened }) => opened)).toBe(true), 30_000);
  await vi.waitFor(async () => expect((await ask<{ sources: { state: string }[] }>("/health")).sources[0]!.state).toBe("ended"), { timeout: 60_000, interval: 200 });
  for (const [index, watch] of watches.entries()) {
    const expected = (await all(watch.symbol, watch.interval)).map(row);
    await vi.waitFor(async () => {
      while (!watch.historyComplete && await watch.loadOlder());
      expect([index, watch.symbol, watch.interval, ...differences(watch.klines.map(row), expected).slice(0, 6)]).toEqual([index, watch.symbol, watch.interval]);
      expect(watch.klines.length).toBe(expected.length);
    }, { timeout: 10_000, interval: 100 });
  }

  // Each wire was broken, and hundreds of finals changed while they were followed: the test proves something.
  expect(breaks.every((count) => count >= 2), String(breaks)).toBe(true);
  expect(corrections).toBeGreaterThan(100);
}, 120_000);

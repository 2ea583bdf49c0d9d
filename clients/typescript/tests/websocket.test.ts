import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { LinkState } from "../src/link.js";
import { SocketLink, type Socket } from "../src/websocket.js";
import type { HistoryReply, KlineMessage, StatusMessage, SubscribeReply } from "../src/types.js";

class FakeSocket implements Socket {
  static all: FakeSocket[] = [];
  onopen = null;
  onmessage: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  onerror = null;
  sent: any[] = [];
  closed = false;

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.closed = true;
  }

  say(message: unknown): void {
    this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }

  greet(): void {
    this.say({ type: "connection_success", client_id: "1", server_time: 1, supported_symbols: [], supported_intervals: ["s1"] });
  }
}

const MINT = "MintMintMintMintMintMintMintMint1111";
const candle = (time: number, more = {}) => ({
  time, open: 1, high: 2, low: 0.5, close: 1.5, volume: 0, is_final: true, update_type: "final", update_count: 2, base_volume: 10, quote_volume: 15, trade_count: 3, revision: 1, ...more,
});

describe("SocketLink", () => {
  let link: SocketLink;
  let states: [LinkState, string | undefined][];
  let klines: KlineMessage[];
  let statuses: StatusMessage[];
  const socket = (): FakeSocket => FakeSocket.all.at(-1)!;
  const settle = () => vi.advanceTimersByTimeAsync(0);

  beforeEach(async () => {
    vi.useFakeTimers();
    FakeSocket.all = [];
    states = [];
    klines = [];
    statuses = [];
    link = new SocketLink("ws://server/ws", {
      state: (state, reason) => states.push([state, reason]), kline: (message) => klines.push(message), status: (message) => statuses.push(message),
    }, { socket: (url) => new FakeSocket(url), patience: 1_000, token: () => "a token" });
    link.start();
    await settle();
    socket().greet();
  });
  afterEach(async () => {
    await link.stop();
    vi.useRealTimers();
  });

  test("the greeting connects, and the token is in the query", () => {
    expect(states.map(([state]) => state)).toEqual(["connecting", "connected"]);
    expect(socket().url).toBe("ws://server/ws?access_token=a+token");
  });

  test("a subscription is answered with its history at a position, and updates follow", async () => {
    const asked = link.invoke<SubscribeReply>("Subscribe", { symbol: MINT, intervals: ["s1"], limit: 5 });
    const [request] = socket().sent;
    expect(request).toEqual({ msg_type: "subscribe", symbol: MINT, interval: "s1", subscription_id: "k1", limit: 5 });
    socket().say({ type: "history_data", data: { symbol: MINT, interval: "s1", data: [candle(60)], epoch: 3, seq: 9 }, timestamp: 1 });
    socket().say({ type: "subscription_confirmed", data: { symbol: MINT, interval: "s1", subscription_id: "k1", success: true, recovered: false }, timestamp: 1 });
    expect(await asked).toEqual({
      symbol: MINT, epoch: 3, seq: 9, recovered: false,
      klines: { s1: [{ interval: "s1", openTime: 60_000, endTime: 61_000, open: 1, high: 2, low: 0.5, close: 1.5, baseVolume: 10, quoteVolume: 15, trades: 3, updates: 2, revision: 1, isFinal: true }] },
    });
    socket().say({ type: "kline_data", data: { symbol: MINT, interval: "s1", subscription_id: "k1", data: candle(61), timestamp: 61_500, epoch: 3, seq: 10 }, timestamp: 61_600 });
    expect(klines).toMatchObject([{ symbol: MINT, epoch: 3, seq: 10, eventTime: 61_500, sentAt: 61_600, klines: [{ openTime: 61_000 }] }]);
  });

  test("a subscription that resumes has no history and stays at the position it resumed from", async () => {
    const asked = link.invoke<SubscribeReply>("Subscribe", { symbol: MINT, intervals: ["s1"], resume: { epoch: "9007199254740993", seq: 4 } });
    expect(socket().sent[0].resume).toEqual({ epoch: "9007199254740993", seq: 4 });
    socket().say({ type: "subscription_confirmed", data: { symbol: MINT, interval: "s1", subscription_id: "k1", success: true, recovered: true }, timestamp: 1 });
    expect(await asked).toMatchObject({ epoch: "9007199254740993", seq: 4, recovered: true, klines: { s1: [] } });
  });

  test("requests are asked one after another, so that an error meets the one it answers", async () => {
    const first = link.invoke<HistoryReply>("History", { symbol: MINT, interval: "s1", before: 60_500, limit: 3 });
    const second = link.invoke<HistoryReply>("History", { symbol: MINT, interval: "m1" });
    expect(socket().sent).toEqual([{ msg_type: "history", symbol: MINT, interval: "s1", limit: 3, before: 61 }]);
    socket().say({ type: "error", code: 1003, message: "History cannot be read now.", data: {}, timestamp: 1 });
    await expect(first).rejects.toThrow("1003: History cannot be read now.");
    expect(socket().sent).toHaveLength(2);
    socket().say({ type: "history_data", data: { symbol: MINT, interval: "m1", data: [candle(60)], epoch: 3, seq: 9 }, timestamp: 1 });
    expect((await second).klines).toHaveLength(1);
  });

  test("what is unknown or broken is passed over", async () => {
    socket().say("{");
    socket().say({ type: "news", data: {} });
    socket().say({ type: "status", data: { symbol: MINT, state: "stale", since: 5 }, timestamp: 1 });
    expect(statuses).toEqual([{ symbol: MINT, state: "stale", since: 5 }]);
    expect(link.connected).toBe(true);
  });

  test("a closed connection refuses what waits and is opened again, later each time", async () => {
    const asked = link.invoke("History", { symbol: MINT, interval: "s1" });
    const queued = link.invoke("History", { symbol: MINT, interval: "m1" });
    socket().onclose!({ code: 4006, reason: "SlowConsumer" });
    await expect(asked).rejects.toThrow("lost");
    await expect(queued).rejects.toThrow("lost");
    expect(states.at(-1)).toEqual(["reconnecting", "SlowConsumer"]);
    await vi.advanceTimersByTimeAsync(250);
    expect(FakeSocket.all).toHaveLength(2);
    socket().onclose!({ code: 1006 });
    await vi.advanceTimersByTimeAsync(249);
    expect(FakeSocket.all).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(251);
    expect(FakeSocket.all).toHaveLength(3);
    socket().greet();
    expect(link.connected).toBe(true);
  });

  test("a server that falls silent is asked, and left when it does not answer", async () => {
    const first = socket();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(first.sent).toEqual([{ msg_type: "ping" }]);
    first.say({ type: "pong", data: { server_time: 1 }, timestamp: 1 });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(first.sent).toHaveLength(2);
    expect(link.connected).toBe(true);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(first.closed).toBe(true);
    expect(states.at(-1)).toEqual(["reconnecting", "The server does not answer."]);
  });

  test("a request that is never answered ends the connection, though other messages come", async () => {
    const asked = link.invoke("History", { symbol: MINT, interval: "s1" });
    const refused = expect(asked).rejects.toThrow("lost");
    for (let i = 0; i < 6; i++) {
      await vi.advanceTimersByTimeAsync(200);
      socket().say({ type: "status", data: { symbol: MINT, state: "live" }, timestamp: 1 });
    }

    await refused;
    expect(states.map(([state]) => state)).toContain("reconnecting");
  });

  test("stop ends it for good", async () => {
    await link.stop();
    expect(states.at(-1)![0]).toBe("disconnected");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeSocket.all).toHaveLength(1);
  });
});

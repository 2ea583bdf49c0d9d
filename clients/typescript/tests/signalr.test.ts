import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startMock } from "../mock/server.mjs";
import { KlineSession } from "../src/klineSession.js";
import type { LinkState } from "../src/link.js";
import { HubLink } from "../src/signalr.js";
import { KlineStore } from "../src/klineStore.js";

// The real SignalR client against the stand-in, over real sockets.
let mock: any;
let link: HubLink;
let session: KlineSession;
let states: LinkState[];
let symbol: any;

const equalsServer = (): void => {
  const klines = session.store.all;
  expect(klines.length).toBeGreaterThan(0);
  expect(klines).toEqual(symbol.klines.s1.slice(-klines.length));
};

beforeEach(async () => {
  mock = await startMock({ speed: 0 });
  symbol = mock.market.symbols[0];
  states = [];
  link = new HubLink(`http://127.0.0.1:${mock.port}/hubs/kline`, {
    state(state) {
      states.push(state);
      if (state === "connected") session.connected();
      else session.disconnected();
    },
    kline: (message) => session.kline(message),
    status: (message) => session.statusChanged(message),
  });
  session = new KlineSession(link, new KlineStore(), { opened: () => {}, status: () => {}, failed: () => {} });
  session.open(symbol.symbol, "s1");
  link.start();
  await vi.waitFor(equalsServer, 5_000);
});

afterEach(async () => {
  await link.stop();
  await mock.stop();
});

test("trades and corrections reach the store", async () => {
  for (let i = 0; i < 50; i++) (i % 10 === 9 ? mock.correct : mock.trade)(symbol);
  await vi.waitFor(() => expect(session.position?.seq).toBe(symbol.seq), 5_000);
  equalsServer();
});

test("after a broken connection the store is what the server has", async () => {
  mock.drop();
  for (let i = 0; i < 20; i++) (i % 5 === 4 ? mock.correct : mock.trade)(symbol);
  await vi.waitFor(() => expect(session.position?.seq).toBe(symbol.seq), 8_000);
  expect(states).toEqual(["connecting", "connected", "reconnecting", "connected"]);
  equalsServer();
});

test("a server that closes for good is left alone until asked", async () => {
  mock.close(false, "Too slow");
  await vi.waitFor(() => expect(states.at(-1)).toBe("disconnected"), 5_000);
  await new Promise((resolve) => setTimeout(resolve, 800));
  expect(mock.clients.size).toBe(0);
  link.start();
  await vi.waitFor(() => expect(states.at(-1)).toBe("connected"), 5_000);
  equalsServer();
});

import { beforeEach, describe, expect, test } from "vitest";
import { KlineClient } from "../src/client.js";
import { createDatafeed, RESOLUTIONS, type Bar } from "../src/tradingView.js";
import { INTERVALS, type Kline } from "../src/types.js";
import { FakeLink } from "./fakeLink.js";
import { kline } from "./kline.js";

const series = (from: number, to: number): Kline[] => Array.from({ length: to - from }, (_, i) => kline(from + i));

describe("createDatafeed", () => {
  let link: FakeLink;
  let feed: ReturnType<typeof createDatafeed>;

  beforeEach(() => {
    link = new FakeLink();
    const client = new KlineClient((events) => {
      link.events = events;
      return link;
    });
    client.start();
    feed = createDatafeed(client, { exchange: "Ours" });
  });

  const getBars = (from: number, to: number, countBack: number) =>
    new Promise<{ bars: Bar[]; noData: boolean }>((resolve, reject) =>
      feed.getBars({ name: "A" }, "1S", { from, to, countBack, firstDataRequest: false }, (bars, { noData }) => resolve({ bars, noData }), (reason) => reject(new Error(reason))));

  test("every interval has a resolution, and they are offered in the order of their lengths", async () => {
    const { supported_resolutions: offered } = await new Promise<any>((resolve) => feed.onReady(resolve));
    expect(offered.map((name: string) => RESOLUTIONS[name])).toEqual([...INTERVALS]);
  });

  test("bars are read back from the end in pages until the count is reached", async () => {
    const asked = getBars(9_000, 10_000, 1_500);
    await Promise.resolve();
    expect(link.last("History").request).toEqual({ symbol: "A", interval: "s1", before: 10_000_000, limit: 1_000 });
    await link.last("History").answer({ klines: series(9_000, 10_000) });
    expect(link.last("History").request).toEqual({ symbol: "A", interval: "s1", before: 9_000_000, limit: 500 });
    await link.last("History").answer({ klines: series(8_500, 9_000) });
    const { bars, noData } = await asked;
    expect(noData).toBe(false);
    expect(bars).toHaveLength(1_500);
    expect(bars[0]).toEqual({ time: 8_500_000, open: 1, high: 2, low: 0.5, close: 1.5, volume: 10 });
    expect(bars.at(-1)!.time).toBe(9_999_000);
  });

  test("the beginning of history is no data", async () => {
    const asked = getBars(0, 100, 50);
    await Promise.resolve();
    await link.last("History").answer({ klines: [] });
    expect(await asked).toEqual({ bars: [], noData: true });
  });

  test("a refusal reaches the library as words", async () => {
    const asked = getBars(0, 100, 50);
    await Promise.resolve();
    const refused = expect(asked).rejects.toThrow("1003: History cannot be read now.");
    await link.last("History").refuse("HubException: 1003: History cannot be read now.");
    await refused;
  });

  test("the newest bar and what follows are ticks; a correction asks for a new reading", async () => {
    const ticks: Bar[] = [];
    let resets = 0;
    feed.subscribeBars({ name: "A" }, "1S", (bar) => ticks.push(bar), "guid", () => resets++);
    await link.last("Subscribe").answer({ symbol: "A", epoch: 1, seq: 1, recovered: false, klines: { s1: [kline(1), kline(2, { isFinal: false })] } });
    const update = async (seq: number, ...klines: Kline[]): Promise<void> => {
      link.events!.kline({ symbol: "A", epoch: 1, seq, eventTime: 0, sentAt: 0, klines });
      await Promise.resolve();
    };
    await update(2, kline(2, { close: 1.7, updates: 2 }), kline(3, { isFinal: false }));
    expect(ticks.map(({ time, close }) => [time, close])).toEqual([[2_000, 1.5], [2_000, 1.7], [3_000, 1.5]]);
    expect(resets).toBe(0);
    await update(3, kline(1, { revision: 1, high: 1.9 }));
    expect(resets).toBe(1);
    expect(ticks).toHaveLength(3);
    feed.unsubscribeBars("guid");
    await update(4, kline(4));
    expect(ticks).toHaveLength(3);
    expect(link.count("Unsubscribe")).toBe(1);
  });

  test("a symbol is resolved with a scale that shows six digits of its price", async () => {
    const resolved = new Promise<any>((resolve, reject) => feed.resolveSymbol("Ours:A", resolve, (reason) => reject(new Error(reason))));
    await link.last("Symbols").answer({ symbols: [{ symbol: "A", name: "Apple", source: "chain" }] });
    await link.last("History").answer({ klines: [kline(1, { close: 0.00000123 })] });
    expect(await resolved).toMatchObject({ ticker: "A", description: "Apple", exchange: "chain", pricescale: 10 ** 11 });
    const unknown = new Promise((resolve) => feed.resolveSymbol("B", () => resolve("resolved"), resolve));
    await link.last("Symbols").answer({ symbols: [] });
    await link.last("History").answer({ klines: [] });
    expect(await unknown).toBe("unknown_symbol");
  });
});

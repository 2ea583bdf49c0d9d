import { beforeEach, expect, test } from "vitest";
import { KlineClient, type Watch } from "../src/client.js";
import { bindSeries, loadOnScroll } from "../src/lightweightCharts.js";
import { FakeLink } from "./fakeLink.js";
import { kline } from "./kline.js";

/** A series that keeps lightweight-charts' rule: an update of an older bar must be marked as one. */
class FakeSeries {
  bars: any[] = [];
  data = (): any[] => this.bars;
  setData(bars: any[]): void {
    this.bars = [...bars];
  }

  update(bar: any, historical = false): void {
    const last = this.bars.at(-1);
    if (last === undefined || bar.time > last.time) {
      this.bars.push(bar);
      return;
    }

    if (bar.time < last.time && !historical) throw new Error("Cannot update oldest data");
    const index = this.bars.findIndex(({ time }) => time === bar.time);
    if (index < 0) throw new Error("No bar to update");
    this.bars[index] = bar;
  }
}

let link: FakeLink;
let watch: Watch;
let candles: FakeSeries;
let volumes: FakeSeries;
const equalsWatch = (): void => {
  expect(candles.bars).toEqual(watch.klines.map(({ openTime, open, high, low, close }) => ({ time: openTime / 1_000, open, high, low, close })));
  expect(volumes.bars).toEqual(watch.klines.map(({ openTime, baseVolume }) => ({ time: openTime / 1_000, value: baseVolume })));
};
const update = async (seq: number, ...klines: ReturnType<typeof kline>[]): Promise<void> => {
  link.events!.kline({ symbol: "A", epoch: 1, seq, eventTime: 0, sentAt: 0, klines });
  await Promise.resolve();
};

beforeEach(() => {
  link = new FakeLink();
  const client = new KlineClient((events) => {
    link.events = events;
    return link;
  });
  client.start();
  watch = client.watch("A", "s1");
  candles = new FakeSeries();
  volumes = new FakeSeries();
});

test("the series follow snapshot, updates, corrections, gaps that are filled, and history", async () => {
  const end = bindSeries(watch, candles as any, { volumes: volumes as any });
  await link.last("Subscribe").answer({ symbol: "A", epoch: 1, seq: 1, recovered: false, klines: { s1: [kline(1), kline(2), kline(5, { isFinal: false })] } });
  equalsWatch();
  await update(2, kline(5, { close: 1.9 }), kline(6, { isFinal: false }));
  equalsWatch();
  await update(3, kline(2, { revision: 1, high: 9, close: 8 }), kline(6, { updates: 2 }));
  equalsWatch();
  await update(4, kline(3), kline(7));
  equalsWatch();
  const older = watch.loadOlder();
  await link.last("History").answer({ klines: [kline(-1), kline(0)] });
  await older;
  await Promise.resolve();
  equalsWatch();
  expect(candles.bars).toHaveLength(8);
  end();
  await update(5, kline(8));
  expect(candles.bars).toHaveLength(8);
});

test("a series bound late begins with what the watch has", async () => {
  await link.last("Subscribe").answer({ symbol: "A", epoch: 1, seq: 1, recovered: false, klines: { s1: [kline(1), kline(2)] } });
  bindSeries(watch, candles as any, { volumes: volumes as any });
  equalsWatch();
});

test("what lies left of the chart's edge is fetched before it comes into view, until there is no more", async () => {
  const listeners = new Set<() => void>();
  let from = 200;
  const chart: any = {
    timeScale: () => ({
      getVisibleLogicalRange: () => ({ from, to: from + 100 }),
      subscribeVisibleLogicalRangeChange: (listener: () => void) => listeners.add(listener),
      unsubscribeVisibleLogicalRangeChange: (listener: () => void) => listeners.delete(listener),
    }),
  };
  let asked = 0;
  const shown: any = { klines: [kline(0)], historyComplete: false, loadOlder: () => Promise.resolve(++asked > 0) };
  const end = loadOnScroll(shown, chart);
  expect(asked).toBe(0);
  from = 20;
  for (const listener of listeners) listener();
  expect(asked).toBe(1);
  shown.historyComplete = true;
  for (const listener of listeners) listener();
  expect(asked).toBe(1);
  end();
  expect(listeners.size).toBe(0);
});

import { beforeEach, describe, expect, test, vi } from "vitest";
import { KlineClient } from "../src/client.js";
import type { Changes } from "../src/klineStore.js";
import type { Kline, KlineMessage } from "../src/types.js";
import { FakeLink } from "./fakeLink.js";
import { kline } from "./kline.js";

const reply = (seq: number, klines: Kline[]) => ({ symbol: "A", epoch: 7, seq, recovered: false, state: "live", source: "s", simulated: false, klines: { s1: klines } });
const update = (seq: number, ...klines: Kline[]): KlineMessage => ({ symbol: "A", epoch: 7, seq, eventTime: 0, sentAt: 0, klines });

describe("KlineClient", () => {
  let link: FakeLink;
  let client: KlineClient;

  beforeEach(() => {
    link = new FakeLink();
    client = new KlineClient((events) => {
      link.events = events;
      return link;
    });
    client.start();
  });

  test("a watch holds the snapshot and tells all changes of a moment at once", async () => {
    const watch = client.watch("A", "s1");
    const seen: Changes[] = [];
    watch.subscribe((changes) => seen.push(changes));
    await link.last("Subscribe").answer(reply(1, [kline(1)]));
    expect(watch.opened).toBe(true);
    expect(watch.klines.map(({ openTime }) => openTime)).toEqual([1_000]);
    seen.length = 0;
    link.events!.kline(update(2, kline(2)));
    link.events!.kline(update(3, kline(3)));
    await Promise.resolve();
    expect(seen).toHaveLength(1);
    expect(seen[0]!.changed.map(({ openTime }) => openTime)).toEqual([2_000, 3_000]);
    expect(watch.klines).toHaveLength(3);
  });

  test("the array of klines is another one after a change and the same without", async () => {
    const watch = client.watch("A", "s1");
    await link.last("Subscribe").answer(reply(1, [kline(1)]));
    const before = watch.klines;
    link.events!.status({ symbol: "A", state: "stale" });
    await Promise.resolve();
    expect(watch.status?.state).toBe("stale");
    expect(watch.klines).toBe(before);
    link.events!.kline(update(2, kline(2)));
    await Promise.resolve();
    expect(watch.klines).not.toBe(before);
    expect(before).toHaveLength(1);
  });

  test("a second watch of a symbol brings the first what was on its way when the server began its intervals anew", async () => {
    const one = client.watch("A", "s1");
    await link.last("Subscribe").answer(reply(1, [kline(1)]));
    const two = client.watch("A", "m1");
    expect(link.last("Subscribe").request).toMatchObject({ intervals: ["m1"], limit: 1_000 });
    await link.last("Subscribe").answer({ ...reply(5, [kline(1), kline(2)]), klines: { s1: [kline(1, { updates: 9 }), kline(2)], m1: [kline(0, { interval: "m1" })] } });
    expect(one.klines.map(({ openTime, updates }) => [openTime, updates])).toEqual([[1_000, 9], [2_000, kline(2).updates]]);
    expect(two.klines).toHaveLength(1);

    // After a break both come back from the place of the one that is further behind.
    link.events!.kline(update(6, kline(3)));
    link.drop();
    link.start();
    const asked = link.calls.filter(({ method }) => method === "Subscribe").slice(-2).map(({ request }) => [request.intervals[0], request.resume.seq]);
    expect(asked).toEqual([["s1", 5], ["m1", 5]]);
  });

  test("of two watches of a pair only the last one to close unsubscribes", async () => {
    const one = client.watch("A", "s1");
    const two = client.watch("A", "s1");
    one.close();
    expect(link.count("Unsubscribe")).toBe(0);
    two.close();
    two.close();
    expect(link.count("Unsubscribe")).toBe(1);
    expect(link.last("Unsubscribe").request).toEqual({ symbol: "A", intervals: ["s1"] });
  });

  test("a closed watch says nothing more", async () => {
    const watch = client.watch("A", "s1");
    const listener = vi.fn();
    watch.subscribe(listener);
    watch.close();
    await link.last("Subscribe").answer(reply(1, [kline(1)]));
    link.events!.kline(update(2, kline(2)));
    await Promise.resolve();
    expect(listener).not.toHaveBeenCalled();
  });

  test("after a break every watch resumes, and listeners hear of the state", async () => {
    const states: string[] = [];
    const end = client.onState((state) => states.push(state));
    const watch = client.watch("A", "s1");
    await link.last("Subscribe").answer(reply(4, [kline(1)]));
    link.drop();
    link.start();
    expect(link.last("Subscribe").request.resume).toEqual({ epoch: 7, seq: 4 });
    await link.last("Subscribe").answer({ ...reply(5, []), recovered: true });
    expect(watch.klines).toHaveLength(1);
    end();
    link.drop();
    expect(states).toEqual(["reconnecting", "connected"]);
  });

  test("a refusal is told in the server's words", async () => {
    const watch = client.watch("A", "s1");
    await link.last("Subscribe").refuse("HubException: 1002: Too many subscriptions.");
    expect(watch.refusal).toEqual({ code: 1002, sentence: "Too many subscriptions.", retry: false });
    expect(watch.opened).toBe(false);
  });

  test("a watch keeps no more klines than it was told, and can load them again", async () => {
    const watch = client.watch("A", "s1", { keep: 10 });
    await link.last("Subscribe").answer(reply(1, Array.from({ length: 10 }, (_, i) => kline(i))));
    for (let i = 10; i < 25; i++) {
      link.events!.kline(update(i, kline(i)));
      await Promise.resolve();
    }

    expect(watch.klines.length).toBeLessThanOrEqual(11);
    expect(watch.klines.at(-1)!.openTime).toBe(24_000);
    expect(watch.historyComplete).toBe(false);
    void watch.loadOlder();
    expect(link.last("History").request.before).toBe(watch.klines[0]!.openTime);
  });
});

import { afterEach, beforeEach, describe, expect, test, vi, type Mock } from "vitest";
import { KlineSession } from "../src/klineSession.js";
import type { Refusal } from "../src/refusal.js";
import { KlineStore } from "../src/klineStore.js";
import type { Kline, KlineMessage, SubscribeReply } from "../src/types.js";
import { FakeLink } from "./fakeLink.js";
import { kline } from "./kline.js";

const reply = (seq: number, klines: Kline[], more: Partial<SubscribeReply> = {}): SubscribeReply => ({ symbol: "A", epoch: 7, seq, recovered: false, state: "live", klines: { s1: klines }, ...more });
const update = (seq: number, klines: Kline[], more: Partial<KlineMessage> = {}): KlineMessage => ({ symbol: "A", epoch: 7, seq, eventTime: 0, sentAt: 0, klines, ...more });

describe("KlineSession", () => {
  let link: FakeLink;
  let session: KlineSession;
  let failed: Mock<(error: Refusal | null) => void>;
  const seconds = (): number[] => session.store.all.map((each) => each.openTime / 1_000);

  beforeEach(() => {
    vi.useFakeTimers();
    link = new FakeLink();
    failed = vi.fn();
    session = new KlineSession(link, new KlineStore(), { opened: () => {}, status: () => {}, failed });
  });
  afterEach(() => vi.useRealTimers());

  async function open(): Promise<void> {
    session.open("A", "s1");
    await link.last("Subscribe").answer(reply(10, [kline(1), kline(2)]));
  }

  test("updates that overtake the snapshot are applied after it", async () => {
    session.open("A", "s1");
    session.kline(update(11, [kline(3)]));
    session.kline(update(11, [kline(9)], { epoch: 6 }));
    await link.last("Subscribe").answer(reply(10, [kline(1), kline(2)]));
    expect(seconds()).toEqual([1, 2, 3]);
    expect(session.position).toEqual({ epoch: 7, seq: 11 });
  });

  test("the first messages of an update, which carry the place before it, are not taken for what the snapshot holds", async () => {
    session.open("A", "s1");
    session.kline(update(10, [kline(2, { isFinal: true })]));
    session.kline(update(11, [kline(3)]));
    await link.last("Subscribe").answer(reply(10, [kline(1), kline(2, { isFinal: false })]));
    expect(session.store.all[1]!.isFinal).toBe(true);
    expect(seconds()).toEqual([1, 2, 3]);
  });

  test("klines of other symbols and intervals are ignored", async () => {
    await open();
    session.kline(update(11, [kline(3)], { symbol: "B" }));
    session.kline(update(11, [kline(60, { interval: "m1" })]));
    expect(seconds()).toEqual([1, 2]);
    // Nor do they say that what came of this interval until then is here: each may have a queue of its own.
    expect(session.position).toEqual({ epoch: 7, seq: 10 });
  });

  test("a reconnect resumes from the last position, and what was missed is merged", async () => {
    await open();
    session.kline(update(11, [kline(3)]));
    link.connected = false;
    session.disconnected();
    link.connected = true;
    session.connected();
    expect(link.last("Subscribe").request.resume).toEqual({ epoch: 7, seq: 11 });
    await link.last("Subscribe").answer(reply(13, [kline(4)], { recovered: true }));
    expect(seconds()).toEqual([1, 2, 3, 4]);
  });

  test("a reconnect without recovery replaces everything", async () => {
    await open();
    session.disconnected();
    session.connected();
    await link.last("Subscribe").answer(reply(1, [kline(5)], { epoch: 8 }));
    expect(seconds()).toEqual([5]);
    expect(session.position).toEqual({ epoch: 8, seq: 1 });
  });

  test("a jump of seq is no loss: what comes is applied, and the newest position is kept for the resume", async () => {
    await open();
    session.kline(update(15, [kline(4)]));
    session.kline(update(90, [kline(5)]));
    await vi.advanceTimersByTimeAsync(120_000);
    expect(link.count("Subscribe")).toBe(1);
    expect(seconds()).toEqual([1, 2, 4, 5]);
    session.disconnected();
    session.connected();
    expect(link.last("Subscribe").request.resume).toEqual({ epoch: 7, seq: 90 });
  });

  test("updates of a new epoch go on in place, and an update that comes late does not move the position back", async () => {
    await open();
    session.kline(update(2, [kline(3)], { epoch: 8 }));
    session.kline(update(11, [kline(4)]));
    expect(seconds()).toEqual([1, 2, 3, 4]);
    expect(session.position).toEqual({ epoch: 8, seq: 2 });
    expect(link.count("Subscribe")).toBe(1);
  });

  test("a switch leaves the old pair, and late answers and messages of it change nothing", async () => {
    session.open("A", "s1");
    const late = link.last("Subscribe");
    session.open("B", "s1");
    expect(link.last("Unsubscribe").request).toEqual({ symbol: "A", intervals: ["s1"] });
    await late.answer(reply(10, [kline(1)]));
    session.kline(update(11, [kline(2)]));
    expect(seconds()).toEqual([]);
    await link.last("Subscribe").answer(reply(3, [kline(8)], { symbol: "B" }));
    expect(seconds()).toEqual([8]);
  });

  test("history asks before the oldest kline, one page at a time, and stops at the beginning", async () => {
    await open();
    const first = session.loadOlder();
    const joined = session.loadOlder();
    expect(link.count("History")).toBe(1);
    expect(link.last("History").request).toMatchObject({ symbol: "A", interval: "s1", before: 1_000 });
    await link.last("History").answer({ klines: [kline(-1), kline(0)] });
    expect(await first).toBe(true);
    expect(await joined).toBe(true);
    expect(seconds()).toEqual([-1, 0, 1, 2]);
    const end = session.loadOlder();
    await link.last("History").answer({ klines: [] });
    expect(await end).toBe(false);
    expect(session.historyComplete).toBe(true);
    expect(await session.loadOlder()).toBe(false);
    expect(link.count("History")).toBe(2);
  });

  test("a refusal that lasts is told and not asked again, one that passes is", async () => {
    session.open("A", "s1");
    await link.last("Subscribe").refuse("HubException: 1001: Unknown symbol 'A'");
    await vi.advanceTimersByTimeAsync(120_000);
    expect(link.count("Subscribe")).toBe(1);
    session.open("B", "s1");
    await link.last("Subscribe").refuse("HubException: 1006: Busy");
    expect(failed).toHaveBeenLastCalledWith({ code: 1006, sentence: "Busy", retry: true });
    await vi.advanceTimersByTimeAsync(2_000);
    expect(link.count("Subscribe")).toBe(3);
  });
});

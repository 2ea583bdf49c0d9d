import { describe, expect, test } from "vitest";
import { KlineStore, supersedes } from "../src/klineStore.js";
import { kline } from "./kline.js";

const times = (store: KlineStore): number[] => store.all.map((each) => each.openTime);

describe("KlineStore", () => {
  test("a snapshot in any order is held ascending and without doubles", () => {
    const store = new KlineStore();
    store.replace([kline(3), kline(1), kline(2), kline(2, { updates: 5 }), kline(1, { updates: 0 })]);
    expect(times(store)).toEqual([1_000, 2_000, 3_000]);
    expect(store.all[1]!.updates).toBe(5);
    expect(store.all[0]!.updates).toBe(1);
  });

  test("a live update of the newest kline is the only change", () => {
    const store = new KlineStore();
    store.replace([kline(1), kline(2, { isFinal: false })]);
    store.takeChanges();
    store.merge([kline(2, { isFinal: false, close: 7, updates: 2 })]);
    const changes = store.takeChanges();
    expect(changes.rebuild).toBe(false);
    expect(changes.changed.map((each) => each.close)).toEqual([7]);
    expect(store.takeChanges().changed).toEqual([]);
  });

  test("a correction of an older kline changes it in place", () => {
    const store = new KlineStore();
    store.replace([kline(1), kline(2), kline(3)]);
    store.takeChanges();
    expect(store.merge([kline(1, { revision: 1, high: 99 })])).toBe(1);
    const changes = store.takeChanges();
    expect(changes).toMatchObject({ rebuild: false, changed: [{ openTime: 1_000, high: 99 }] });
  });

  test("a kline that appears between others asks for a rebuild", () => {
    const store = new KlineStore();
    store.replace([kline(1), kline(3)]);
    store.takeChanges();
    store.merge([kline(2)]);
    expect(times(store)).toEqual([1_000, 2_000, 3_000]);
    expect(store.takeChanges()).toMatchObject({ rebuild: true, changed: [] });
  });

  test("a page of history joins in front, and its overlap loses against newer versions", () => {
    const store = new KlineStore();
    store.replace([kline(5, { revision: 1 }), kline(6)]);
    expect(store.merge([kline(3), kline(4), kline(5)])).toBe(2);
    expect(times(store)).toEqual([3_000, 4_000, 5_000, 6_000]);
    expect(store.all[2]!.revision).toBe(1);
  });

  test("trimming keeps the newest", () => {
    const store = new KlineStore();
    store.replace([kline(1), kline(2), kline(3)]);
    expect(store.trim(2)).toBe(true);
    expect(times(store)).toEqual([2_000, 3_000]);
    expect(store.trim(2)).toBe(false);
  });

  test("another series is fresh once", () => {
    const store = new KlineStore();
    store.takeChanges();
    store.clear();
    expect(store.takeChanges().fresh).toBe(true);
    store.replace([kline(1)]);
    expect(store.takeChanges()).toMatchObject({ fresh: false, rebuild: true });
  });

  test("whatever order versions arrive in, the same one stays", () => {
    const versions = [kline(1, { isFinal: false, updates: 1 }), kline(1, { isFinal: false, updates: 4 }), kline(1, { updates: 5 }), kline(1, { revision: 1, updates: 6 }), kline(1, { revision: 2, updates: 7 })];
    for (let turn = 0; turn < versions.length; turn++) {
      const store = new KlineStore();
      for (const version of [...versions.slice(turn), ...versions.slice(0, turn)]) store.merge([version]);
      expect(store.all).toEqual([versions.at(-1)]);
    }
  });

  test("a final kline is never replaced by a forming one", () => {
    expect(supersedes(kline(1, { isFinal: false, updates: 9 }), kline(1, { updates: 2 }))).toBe(false);
  });
});

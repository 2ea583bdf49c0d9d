import type { Kline } from "../src/types.js";

/** A final s1 kline that opens `second` seconds after the epoch. */
export function kline(second: number, values: Partial<Kline> = {}): Kline {
  return {
    interval: "s1", openTime: second * 1_000, endTime: second * 1_000 + 1_000, open: 1, high: 2, low: 0.5, close: 1.5, baseVolume: 10, quoteVolume: 15,
    trades: 1, updates: 1, revision: 0, isFinal: true, ...values,
  };
}

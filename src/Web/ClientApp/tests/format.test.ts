import { describe, expect, test } from "vitest";
import { axisPrices, change, decimalsFor, exact, exactPrice, fine, price, shortMint, volume } from "../src/view/format";
import { readRefusal, retryDelay } from "@kline-orleans/client";
import { feedWords } from "../src/view/feedWords";

describe("format", () => {
  test("exact writes every digit without an exponent", () => {
    expect(exact(1.234e-9)).toBe("0.000000001234");
    expect(exact(0.00222901)).toBe("0.00222901");
    expect(exact(64250.5)).toBe("64,250.5");
    expect(exact(1.5e22)).toBe("15,000,000,000,000,000,000,000");
  });

  test("an exact price has every digit, with a long run of zeros counted", () => {
    expect(exactPrice(8.524323816123457e-8)).toBe("0.0₇8524323816123457");
    expect(exactPrice(0.000123)).toBe("0.000123");
    expect(exactPrice(64250.123456789)).toBe("64,250.123456789");
  });

  test("price follows the size of the value", () => {
    expect(price(1.23456789e-9)).toBe("0.0₈123457");
    expect(price(0.00222901)).toBe("0.00222901");
    expect(price(64250.5)).toBe("64,250.50");
    expect(decimalsFor(0)).toBe(2);
  });

  test("fine prices have ten significant digits and no zeros that only fill up", () => {
    expect(fine(0.0000002427697626955007)).toBe("0.0₆2427697627");
    expect(fine(0.00222901)).toBe("0.00222901");
    expect(fine(64250.5)).toBe("64,250.5");
    expect(fine(0)).toBe("0");
  });

  test("axis labels differ from each other however small the step", () => {
    for (const step of [1e-12, 2.5e-10, 5e-7, 0.01, 2.5, 100]) {
      const labels = axisPrices([0, 1, 2, 3].map((index) => step * (40 + index)));
      expect(new Set(labels).size).toBe(4);
    }
  });

  test("volume and change are short and signed", () => {
    expect([volume(0), volume(1234567), volume(999), volume(0.5)]).toEqual(["0", "1.23M", "999", "0.5"]);
    expect([change(1, 1.1), change(2, 1), change(1, 1), change(0, 1)]).toEqual(["+10.00%", "−50.00%", "0.00%", "—"]);
  });

  test("a mint loses its middle, an exchange symbol nothing", () => {
    expect(shortMint("7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU")).toBe("7xKXt…sgAsU");
    expect(shortMint("XRPETH")).toBe("XRPETH");
  });
});

test("a refusal of the hub is read with its code and whether asking again helps", () => {
  expect(readRefusal(new Error("An unexpected error occurred invoking 'Subscribe' on the server. HubException: 1001: Unknown symbol"))).toEqual({ code: 1001, sentence: "Unknown symbol", retry: false });
  expect(readRefusal(new Error("1006: Busy")).retry).toBe(true);
});

test("pauses between attempts grow to a bound and differ between clients", () => {
  expect([0, 1, 2, 10, 1_000].map((attempt) => retryDelay(attempt, () => 0))).toEqual([250, 500, 1_000, 15_000, 15_000]);
  expect(retryDelay(10, () => 1)).toBe(7_500);
});

test("a lost connection is said before the state of the feed", () => {
  const status = { state: "live", simulated: true, source: "sim" };
  expect(feedWords("reconnecting", status).word).toBe("Reconnecting");
  expect(feedWords("connected", status).word).toBe("Live");
  expect(feedWords("connected", { ...status, state: "ended" }).word).toBe("Replay ended");
});

test("a source that is a recording plays and ends, whatever the hub calls it", () => {
  const status = { state: "live", simulated: false, source: "replay" };
  expect(feedWords("connected", status, "Replay").word).toBe("Replaying");
  expect(feedWords("connected", { ...status, state: "closed" }, "Replay").word).toBe("Replay ended");
  expect(feedWords("connected", { ...status, state: "closed" }, "Binance").word).toBe("Source closed");
  expect(feedWords("connected", { ...status, state: "stale" }, "Replay").word).toBe("Stale");
});

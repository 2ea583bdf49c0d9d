import { expect, test } from "vitest";
import { findSymbols } from "../src/symbols.js";

test("symbols are read from a bare array and from an object that holds one", async () => {
  const symbols = [{ symbol: "XRPETH" }];
  for (const reply of [symbols, { symbols }]) {
    const link = { connected: true, invoke: <T>(): Promise<T> => Promise.resolve(reply as T) };
    expect(await findSymbols(link, "xrp", 5)).toEqual(symbols);
  }
});

import { isInterval, type Interval } from "../data/types";

/** What the page's address names. */
export interface Place {
  symbol: string | undefined;
  interval: Interval;
}

export const DEFAULT_INTERVAL: Interval = "m1";

export function readPlace(search: string): Place {
  const query = new URLSearchParams(search);
  const symbol = query.get("symbol")?.trim();
  const interval = query.get("interval");
  return { symbol: symbol === "" ? undefined : symbol, interval: isInterval(interval) ? interval : DEFAULT_INTERVAL };
}

export function writePlace(symbol: string, interval: Interval): string {
  return `?${new URLSearchParams({ symbol, interval }).toString()}`;
}

import { isInterval, type Interval } from "@kline-orleans/client";

/** What a chart shows. */
export interface Place {
  symbol: string | undefined;
  interval: Interval;
}

export const DEFAULT_INTERVAL: Interval = "m1";
/** Charts side by side at most. */
export const MOST_CHARTS = 4;

/** The charts that the page's address names, at least one: `?symbol=A&interval=m1`, and of each further chart `&chart=B:h1`. */
export function readPlaces(search: string): Place[] {
  const query = new URLSearchParams(search);
  const places = [place(query.get("symbol"), query.get("interval"))];
  for (const more of query.getAll("chart").slice(0, MOST_CHARTS - 1)) {
    const colon = more.lastIndexOf(":");
    places.push(colon < 0 ? place(more, null) : place(more.slice(0, colon), more.slice(colon + 1)));
  }

  return places;
}

export function writePlaces(places: readonly Place[]): string {
  const [first, ...more] = places;
  const query = new URLSearchParams();
  if (first?.symbol !== undefined) query.set("symbol", first.symbol);
  query.set("interval", first?.interval ?? DEFAULT_INTERVAL);
  for (const { symbol, interval } of more) if (symbol !== undefined) query.append("chart", `${symbol}:${interval}`);
  return `?${query.toString()}`;
}

function place(symbol: string | null, interval: string | null): Place {
  const name = symbol?.trim();
  return { symbol: name === "" ? undefined : name, interval: isInterval(interval) ? interval : DEFAULT_INTERVAL };
}

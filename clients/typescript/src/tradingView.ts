import type { KlineClient, Watch } from "./client.js";
import { INTERVALS, type Interval, type Kline } from "./types.js";

/** Resolutions of TradingView's charting library and the intervals they are. */
export const RESOLUTIONS: Readonly<Record<string, Interval>> = {
  "1S": "s1", "5S": "s5", "15S": "s15", "30S": "s30", "1": "m1", "5": "m5", "15": "m15", "30": "m30", "60": "h1", "240": "h4", "1D": "d1", "1W": "w1",
};

// Whole numbers come first among a JavaScript object's keys; charts show the list as it is given.
const SUPPORTED = INTERVALS.map((interval) => Object.keys(RESOLUTIONS).find((name) => RESOLUTIONS[name] === interval)!);

/** A bar of the charting library: `time` in Unix milliseconds, volume in base units. */
export interface Bar {
  time: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
}

// What this adapter uses of the library's types, which are not public.
interface SymbolResolved {
  name: string;
  ticker: string;
  description: string;
  [more: string]: unknown;
}

interface PeriodParams {
  from: number;
  to: number;
  countBack: number;
  firstDataRequest: boolean;
}

export interface DatafeedOptions {
  /** What the library shows as the exchange. Default "KlineOrleans". */
  exchange?: string;
}

/** A datafeed for TradingView's charting library (its Datafeed API), over one client. */
export function createDatafeed(client: KlineClient, options: DatafeedOptions = {}) {
  const exchange = options.exchange ?? "KlineOrleans";
  const subscribers = new Map<string, Subscriber>();

  return {
    onReady(callback: (configuration: object) => void): void {
      // The library asks for an answer that does not come before this call returns.
      setTimeout(() => callback({
        supported_resolutions: SUPPORTED, exchanges: [{ value: exchange, name: exchange, desc: exchange }], symbols_types: [{ name: "Crypto", value: "crypto" }], supports_time: false,
      }), 0);
    },

    searchSymbols(input: string, _exchange: string, _type: string, onResult: (found: object[]) => void): void {
      client.symbols(input, 30).then(
        (found) => onResult(found.map(({ symbol, name, source }) => ({ symbol, ticker: symbol, full_name: symbol, description: name ?? symbol, exchange: source ?? exchange, type: "crypto" }))),
        () => onResult([]),
      );
    },

    resolveSymbol(name: string, onResolve: (symbol: SymbolResolved) => void, onError: (reason: string) => void): void {
      void (async () => {
        try {
          const symbol = name.slice(name.indexOf(":") + 1);
          const [found, newest] = await Promise.all([client.symbols(symbol, 5), client.history({ symbol, interval: "m1", limit: 1 })]);
          const info = found.find((each) => each.symbol === symbol);
          if (info === undefined && newest.length === 0) return onError("unknown_symbol");
          onResolve({
            name: symbol, ticker: symbol, full_name: symbol, description: info?.name ?? symbol, type: "crypto", session: "24x7", timezone: "Etc/UTC", exchange: info?.source ?? exchange,
            listed_exchange: info?.source ?? exchange, minmov: 1, pricescale: priceScale(newest[0]?.close), has_intraday: true, has_seconds: true, seconds_multipliers: ["1", "5", "15", "30"],
            intraday_multipliers: ["1", "5", "15", "30", "60", "240"], has_daily: true, has_weekly_and_monthly: true, weekly_multipliers: ["1"], supported_resolutions: SUPPORTED,
            volume_precision: 8, data_status: "streaming", format: "price",
          });
        } catch (error) {
          onError(sentence(error));
        }
      })();
    },

    getBars(symbol: { ticker?: string; name: string }, resolution: string, period: PeriodParams, onResult: (bars: Bar[], meta: { noData: boolean; nextTime?: number }) => void, onError: (reason: string) => void): void {
      void (async () => {
        try {
          const name = symbol.ticker ?? symbol.name;
          const interval = intervalOf(resolution);
          let before = period.to * 1_000;
          let bars: Bar[] = [];
          // `countBack` is what the library needs and may reach before `from`; a page has at most 1,000.
          for (;;) {
            const limit = Math.min(1_000, Math.max(1, period.countBack - bars.length));
            const page = (await client.history({ symbol: name, interval, before, limit })).filter(({ openTime }) => openTime < before);
            if (page.length === 0) break;
            bars = page.map(bar).concat(bars);
            before = page[0]!.openTime;
            if (bars.length >= period.countBack && before <= period.from * 1_000) break;
            if (bars.length >= period.countBack && page.length < limit) break;
            if (bars.length >= Math.max(period.countBack, MOST_BARS)) break;
          }

          onResult(bars, { noData: bars.length === 0 });
        } catch (error) {
          onError(sentence(error));
        }
      })();
    },

    subscribeBars(symbol: { ticker?: string; name: string }, resolution: string, onTick: (bar: Bar) => void, guid: string, onResetCacheNeeded: () => void): void {
      subscribers.get(guid)?.close();
      subscribers.set(guid, new Subscriber(client.watch(symbol.ticker ?? symbol.name, intervalOf(resolution), { keep: 1_000 }), onTick, onResetCacheNeeded));
    },

    unsubscribeBars(guid: string): void {
      subscribers.get(guid)?.close();
      subscribers.delete(guid);
    },
  };
}

const MOST_BARS = 10_000;

/** Hands the library the newest bar and those that follow. A change of an older one it only learns by reading its bars anew. */
class Subscriber {
  readonly #watch: Watch;
  readonly #end: () => void;
  #last = -Infinity;

  constructor(watch: Watch, onTick: (bar: Bar) => void, onResetCacheNeeded: () => void) {
    this.#watch = watch;
    this.#end = watch.subscribe(({ rebuild, changed }) => {
      // The first snapshot gives the newest bar; a later one stands for updates that were missed.
      const klines = rebuild ? (this.#last === -Infinity ? watch.klines.slice(-1) : watch.klines) : changed;
      if (rebuild && this.#last !== -Infinity) onResetCacheNeeded();
      else if (klines.some(({ openTime }) => openTime < this.#last)) onResetCacheNeeded();
      for (const kline of klines) {
        if (kline.openTime < this.#last) continue;
        this.#last = kline.openTime;
        onTick(bar(kline));
      }
    });
  }

  close(): void {
    this.#end();
    this.#watch.close();
  }
}

function bar({ openTime, open, high, low, close, baseVolume }: Kline): Bar {
  return { time: openTime, open, high, low, close, volume: baseVolume };
}

function intervalOf(resolution: string): Interval {
  const known = RESOLUTIONS[resolution] ?? RESOLUTIONS[`1${resolution}`];
  if (known === undefined) throw new Error(`Resolution ${resolution} is not one of ${SUPPORTED.join(", ")}.`);
  return known;
}

/** The power of ten that shows six significant digits of a price, between 100 and 10^15. */
function priceScale(price: number | undefined): number {
  if (price === undefined || !(price > 0)) return 1_000_000;
  return 10 ** Math.min(15, Math.max(2, 5 - Math.floor(Math.log10(price))));
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

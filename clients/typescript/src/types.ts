// The messages of the hub /hubs/kline, which docs/wire describes. Times are Unix milliseconds, prices quote units per base unit.

export const INTERVALS = ["s1", "s5", "s15", "s30", "m1", "m5", "m15", "m30", "h1", "h4", "d1", "w1"] as const;

export type Interval = (typeof INTERVALS)[number];

export function isInterval(value: unknown): value is Interval {
  return (INTERVALS as readonly unknown[]).includes(value);
}

const SECONDS: Record<Interval, number> = {
  s1: 1, s5: 5, s15: 15, s30: 30, m1: 60, m5: 300, m15: 900, m30: 1_800, h1: 3_600, h4: 14_400, d1: 86_400, w1: 604_800,
};

export function intervalSeconds(interval: Interval): number {
  return SECONDS[interval];
}

/** The length of an interval in milliseconds. */
export function intervalMilliseconds(interval: Interval): number {
  return SECONDS[interval] * 1_000;
}

export interface Kline {
  interval: Interval;
  openTime: number;
  endTime: number;
  open: number;
  high: number;
  low: number;
  close: number;
  baseVolume: number;
  quoteVolume: number;
  trades: number;
  /** How often the kline changed; 0 for a flat kline. */
  updates: number;
  /** 0 until the kline is final; each later change adds 1. */
  revision: number;
  isFinal: boolean;
}

/** A place in a symbol's updates, compared and handed back as received. The server writes an epoch that a double cannot hold as a string. */
export interface Position {
  epoch: number | string;
  seq: number;
}

/** What the source of a symbol does. A newer server may know more words than these. */
export type FeedState = "starting" | "live" | "stale" | "backfilling" | "replaying" | "ended" | "failed" | "closed" | (string & {});

export interface FeedStatus {
  state: FeedState;
  simulated: boolean;
  source: string;
  /** When the state began; unknown until the server says so. */
  since?: number;
}

export interface SubscribeRequest {
  symbol: string;
  intervals: Interval[];
  limit?: number;
  resume?: Position;
}

export interface SubscribeReply extends Position {
  symbol: string;
  recovered: boolean;
  simulated?: boolean;
  source?: string;
  state?: FeedState;
  klines: Partial<Record<Interval, Kline[]>>;
}

export interface KlineMessage extends Position {
  symbol: string;
  eventTime: number;
  sentAt: number;
  klines: Kline[];
}

export interface StatusMessage {
  symbol: string;
  state: FeedState;
  since?: number;
  simulated?: boolean;
  source?: string;
}

export interface HistoryRequest {
  symbol: string;
  interval: Interval;
  limit?: number;
  /** Only klines that open before this time. */
  before?: number;
  from?: number;
  to?: number;
}

export interface HistoryReply {
  symbol: string;
  interval: Interval;
  klines: Kline[];
}

export interface SymbolInfo {
  symbol: string;
  name?: string | null;
  source?: string | null;
  listedTime?: number | null;
}

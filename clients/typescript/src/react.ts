"use client";

import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { KlineClient, Watch, WatchOptions } from "./client.js";
import type { LinkState } from "./link.js";
import type { Refusal } from "./refusal.js";
import type { FeedStatus, Interval, Kline } from "./types.js";

export interface Klines {
  /** Ascending; another array after each change. */
  klines: readonly Kline[];
  status: FeedStatus | undefined;
  refusal: Refusal | null;
  /** The first snapshot is here; without klines the symbol has none. */
  opened: boolean;
  historyComplete: boolean;
  /** Fetches the page of history before the oldest kline. */
  loadOlder(): Promise<boolean>;
}

const NOTHING: Omit<Klines, "loadOlder"> = { klines: [], status: undefined, refusal: null, opened: false, historyComplete: false };

/** The klines of a symbol, kept up to date while the component is mounted. */
export function useKlines(client: KlineClient, symbol: string, interval: Interval, options?: WatchOptions): Klines {
  const keep = options?.keep;
  const [watch, setWatch] = useState<Watch>();
  useEffect(() => {
    const opened = client.watch(symbol, interval, keep === undefined ? {} : { keep });
    setWatch(opened);
    return () => opened.close();
  }, [client, symbol, interval, keep]);

  // The watch of the symbol before is still there on the first render after a change: its klines must not be shown as the new one's.
  const current = watch?.symbol === symbol && watch.interval === interval ? watch : undefined;
  const version = useRef(0);
  const subscribe = useCallback((changed: () => void) => current?.subscribe(() => {
    version.current++;
    changed();
  }) ?? (() => {}), [current]);
  const shown = useSyncExternalStore(subscribe, () => version.current, () => 0);
  return useMemo(() => ({
    ...(current === undefined ? NOTHING : {
      klines: current.klines, status: current.status, refusal: current.refusal, opened: current.opened, historyComplete: current.historyComplete,
    }),
    loadOlder: () => current?.loadOlder() ?? Promise.resolve(false),
    // `shown` stands for what the watch holds: a new number is new content.
  }), [current, shown]);
}

/** The state of the connection. */
export function useLinkState(client: KlineClient): LinkState {
  return useSyncExternalStore(useCallback((changed) => client.onState(() => changed()), [client]), () => client.state, () => "disconnected");
}

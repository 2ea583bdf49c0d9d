import type { Link, LinkEvents, LinkState, RunningLink } from "./link.js";
import { isAfter, KlineSession, type SessionEvents } from "./klineSession.js";
import { KlineStore, type Changes } from "./klineStore.js";
import type { Refusal } from "./refusal.js";
import { findSymbols } from "./symbols.js";
import type { FeedStatus, HistoryReply, HistoryRequest, Interval, Kline, SubscribeReply, SubscribeRequest, SymbolInfo } from "./types.js";

const KEPT_KLINES = 20_000;

export interface WatchOptions {
  /** How many klines stay in memory at most; the oldest go first and can be loaded again. Default 20,000. */
  keep?: number;
}

/** The klines of one symbol and interval, kept as the server has them: history, live updates and corrections merged. */
export interface Watch {
  readonly symbol: string;
  readonly interval: Interval;
  /** Ascending, unique by open time; another array after each change. The last one may be forming. */
  readonly klines: readonly Kline[];
  /** What the source does; undefined until the server said. */
  readonly status: FeedStatus | undefined;
  /** Why the symbol cannot be followed, or null. */
  readonly refusal: Refusal | null;
  /** The first snapshot is here. */
  readonly opened: boolean;
  /** No kline is older than the first of `klines`. */
  readonly historyComplete: boolean;
  /** Calls `listener` after each change, all changes of a moment together. Returns what ends it. */
  subscribe(listener: (changes: Changes) => void): () => void;
  /** Fetches the page of history before the oldest kline. Resolves to whether klines came. */
  loadOlder(): Promise<boolean>;
  /** Follows no longer. */
  close(): void;
}

/** Follows any number of symbols and intervals over one connection, and goes on after a break where it was. */
export class KlineClient {
  readonly #link: RunningLink;
  readonly #sessions = new Set<KlineSession>();
  readonly #listeners = new Set<(state: LinkState, reason?: string) => void>();
  #state: LinkState = "disconnected";

  /** Most callers use `signalr(...)` or `webSocket(...)`, which make the link. */
  constructor(makeLink: (events: LinkEvents) => RunningLink) {
    this.#link = makeLink({
      state: (state, reason) => this.#stateChanged(state, reason),
      kline: (message) => this.#sessions.forEach((session) => session.kline(message)),
      status: (message) => this.#sessions.forEach((session) => session.statusChanged(message)),
    });
  }

  get state(): LinkState {
    return this.#state;
  }

  get connected(): boolean {
    return this.#link.connected;
  }

  /** Connects, and keeps trying. Does nothing while it runs. */
  start(): void {
    this.#link.start();
  }

  /** Disconnects. What was being followed goes on after another `start`. */
  async stop(): Promise<void> {
    await this.#link.stop();
  }

  /** Calls `listener` whenever the connection's state changes. Returns what ends it. */
  onState(listener: (state: LinkState, reason?: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows `symbol` at `interval` from now until `close`. The same pair may be watched more than once. */
  watch(symbol: string, interval: Interval, options: WatchOptions = {}): Watch {
    return new ClientWatch(this, symbol, interval, options.keep ?? KEPT_KLINES);
  }

  /** A page of history: at most 1,000 klines, ascending. Rejects with the server's refusal. */
  async history(request: HistoryRequest): Promise<Kline[]> {
    return (await this.#link.invoke<HistoryReply>("History", request)).klines;
  }

  /** Symbols whose name or mint contains `query`. */
  symbols(query: string, limit: number): Promise<SymbolInfo[]> {
    return findSymbols(this.#link, query, limit);
  }

  /** A session that draws into a store of the caller's, for those who need more than `watch`. End it with `release`. */
  session(store: KlineStore, events: SessionEvents): KlineSession {
    const session: KlineSession = new KlineSession(new SharedLink(this.#link, (symbol) => [...this.#sessions].filter((other) => other !== session && other.symbol === symbol)), store, events);
    this.#sessions.add(session);
    return session;
  }

  release(session: KlineSession): void {
    session.close();
    this.#sessions.delete(session);
  }

  #stateChanged(state: LinkState, reason?: string): void {
    this.#state = state;
    for (const session of this.#sessions) {
      if (state === "connected") session.connected();
      else session.disconnected();
    }

    for (const listener of this.#listeners) listener(state, reason);
  }
}

/** As many klines as an answer may have: more than the window in which the server still corrects klines of a second. */
const MOST_KLINES_OF_A_REQUEST = 1_000;

/**
 * The link of one session of several. A server counts a pair once per connection: the first session that leaves it must not end it for another. And the hub has
 * one place per connection and symbol: a subscription replaces the one before it, for all intervals followed until then.
 */
class SharedLink implements Link {
  readonly #link: Link;
  readonly #others: (symbol: string) => KlineSession[];

  /** @param others The other sessions that follow a symbol. */
  constructor(link: Link, others: (symbol: string) => KlineSession[]) {
    this.#link = link;
    this.#others = others;
  }

  get connected(): boolean {
    return this.#link.connected;
  }

  invoke<T>(method: string, ...args: unknown[]): Promise<T> {
    switch (method) {
      case "Subscribe": return this.#subscribe(args[0] as SubscribeRequest) as Promise<T>;
      case "Unsubscribe": {
        const { symbol, intervals } = args[0] as { symbol: string; intervals: Interval[] };
        const others = this.#others(symbol);
        const left = intervals.filter((interval) => others.every((other) => other.interval !== interval));
        return left.length === 0 ? Promise.resolve({ symbol } as T) : this.#link.invoke<T>(method, { symbol, intervals: left });
      }
      default: return this.#link.invoke<T>(method, ...args);
    }
  }

  async #subscribe(request: SubscribeRequest): Promise<SubscribeReply> {
    const { symbol } = request;
    const others = this.#others(symbol);
    if (others.length === 0) return this.#link.invoke<SubscribeReply>("Subscribe", request);

    // From the place of whoever is furthest behind, so that what is sent from there on is whole for each.
    let { resume } = request;
    for (const { position } of others) if (resume !== undefined && position !== undefined && isAfter(resume, position)) resume = position;
    const reply = await this.#link.invoke<SubscribeReply>("Subscribe", { ...request, limit: MOST_KLINES_OF_A_REQUEST, ...(resume !== undefined && { resume }) });
    for (const other of this.#others(symbol)) other.adopt(reply);
    return reply;
  }
}

class ClientWatch implements Watch {
  readonly symbol: string;
  readonly interval: Interval;
  refusal: Refusal | null = null;
  opened = false;
  readonly #client: KlineClient;
  readonly #store: KlineStore;
  readonly #session: KlineSession;
  readonly #listeners = new Set<(changes: Changes) => void>();
  readonly #keep: number;
  #klines: readonly Kline[] = [];
  #scheduled = false;
  #closed = false;

  constructor(client: KlineClient, symbol: string, interval: Interval, keep: number) {
    this.#client = client;
    this.symbol = symbol;
    this.interval = interval;
    this.#keep = keep;
    this.#store = new KlineStore(() => this.#changed());
    this.#session = client.session(this.#store, {
      opened: () => {
        this.opened = true;
        this.#changed();
      },
      status: () => this.#changed(),
      failed: (refusal) => {
        this.refusal = refusal;
        this.#changed();
      },
    });
    this.#session.open(symbol, interval);
  }

  get klines(): readonly Kline[] {
    return this.#klines;
  }

  get status(): FeedStatus | undefined {
    return this.#session.status;
  }

  get historyComplete(): boolean {
    return this.#session.historyComplete;
  }

  subscribe(listener: (changes: Changes) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  loadOlder(): Promise<boolean> {
    return this.#session.loadOlder();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listeners.clear();
    this.#client.release(this.#session);
  }

  #changed(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.#closed) return;
      // A tenth more than is kept, so that a full store is not copied for every kline that opens.
      if (this.#store.all.length > this.#keep * 1.1) this.#session.trim(this.#keep);
      const changes = this.#store.takeChanges();
      if (changes.rebuild || changes.changed.length > 0) this.#klines = this.#store.all.slice();
      for (const listener of [...this.#listeners]) listener(changes);
    });
  }
}

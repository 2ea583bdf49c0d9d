import { readRefusal, type Refusal } from "./refusal.js";
import type { Link } from "./link.js";
import { KlineStore } from "./klineStore.js";
import type {
  FeedStatus, HistoryReply, HistoryRequest, Interval, KlineMessage, Position, StatusMessage, SubscribeReply, SubscribeRequest,
} from "./types.js";

const SNAPSHOT_LIMIT = 500;
const PAGE_LIMIT = 1_000;
const MOST_KLINES_OF_A_REQUEST = 1_000;
const MOST_BUFFERED = 1_000;
const FIRST_RETRY_DELAY = 1_500;
const LONGEST_RETRY_DELAY = 60_000;

export interface SessionEvents {
  /** The first snapshot of what was opened is in the store; it may be empty. */
  opened(): void;
  status(status: FeedStatus): void;
  /** The symbol cannot be followed; null when it can again. */
  failed(error: Refusal | null): void;
  /** An update of the symbol came, of whatever interval. */
  updated?(message: KlineMessage): void;
}

/**
 * Follows one symbol and interval at a time: snapshot, live updates, resume after a reconnect, pages of history. Messages of what was open before are
 * ignored however late they come. Several sessions can share one link.
 *
 * The hub loses nothing on a connection that lasts, so a jump of `seq` means nothing here: a follower of one interval is sent no update that touches only
 * others, and of several updates of a forming kline a slow client gets the newest.
 */
export class KlineSession {
  readonly store: KlineStore;
  readonly #link: Link;
  readonly #events: SessionEvents;
  #open: { symbol: string; interval: Interval } | undefined;
  #position: Position | undefined;
  /** Counts subscriptions asked for: an answer to an older one is ignored. */
  #asked = 0;
  #waiting = false;
  #subscribedOnce = false;
  #buffer: KlineMessage[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #retryDelay = FIRST_RETRY_DELAY;
  #complete = false;
  #loading: Promise<boolean> | undefined;
  #status: FeedStatus | undefined;

  constructor(link: Link, store: KlineStore, events: SessionEvents) {
    this.#link = link;
    this.store = store;
    this.#events = events;
  }

  get symbol(): string | undefined {
    return this.#open?.symbol;
  }

  get interval(): Interval | undefined {
    return this.#open?.interval;
  }

  get position(): Position | undefined {
    return this.#position;
  }

  get status(): FeedStatus | undefined {
    return this.#status;
  }

  /** No kline is older than the oldest in the store. */
  get historyComplete(): boolean {
    return this.#complete;
  }

  /** Follows `symbol` at `interval` instead of what was open. Subscribes at once, or as soon as the link is connected. */
  open(symbol: string, interval: Interval): void {
    const old = this.#open;
    if (old?.symbol === symbol && old.interval === interval) return;
    this.#leave(old);
    this.#open = { symbol, interval };
    if (old?.symbol !== symbol) this.#status = undefined;
    this.store.clear();
    if (this.#link.connected) void this.#subscribe();
  }

  close(): void {
    this.#leave(this.#open);
    this.#open = undefined;
    this.#status = undefined;
    this.store.clear();
  }

  /** The link is connected, for the first time or again: the server knows nothing of this session. */
  connected(): void {
    if (this.#open === undefined) return;
    clearTimeout(this.#timer);
    void this.#subscribe();
  }

  /** The link is gone; whatever was asked will not be answered. */
  disconnected(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asked++;
    this.#waiting = false;
    this.#buffer = [];
    this.#loading = undefined;
  }

  /** Subscribes anew after a failure, because the user asks for it. */
  retry(): void {
    if (this.#open !== undefined && this.#link.connected) void this.#subscribe();
  }

  kline(message: KlineMessage): void {
    if (message.symbol !== this.#open?.symbol) return;
    this.#events.updated?.(message);
    if (this.#waiting) {
      // Before the snapshot it is unknown what the update continues.
      this.#buffer.push(message);
      if (this.#buffer.length > MOST_BUFFERED) this.#buffer.shift();
      return;
    }

    if (this.#position !== undefined) this.#apply(message);
  }

  /**
   * Takes the answer to another session's subscription of the same symbol. The hub begins all intervals that a connection follows of a symbol anew with each
   * subscription: what was on its way for this session may never come, and is in that answer.
   */
  adopt(reply: SubscribeReply): void {
    const klines = this.#open === undefined || this.#open.symbol !== reply.symbol ? undefined : reply.klines[this.#open.interval];
    // While this session waits for an answer of its own, that one says it all.
    if (klines === undefined || reply.recovered || this.#waiting || this.#position === undefined) return;
    if (reply.epoch === this.#position.epoch) {
      this.store.merge(klines);
    } else {
      this.store.replace(klines);
      this.#complete = false;
    }

    if (isAfter(reply, this.#position)) this.#position = { epoch: reply.epoch, seq: reply.seq };
  }

  statusChanged(message: StatusMessage): void {
    if (message.symbol !== this.#open?.symbol) return;
    this.#setStatus(message);
  }

  /** Fetches the page of history before the oldest kline. Resolves to whether klines came. One page at a time: a call during another joins it. */
  loadOlder(): Promise<boolean> {
    if (this.#loading !== undefined) return this.#loading;
    const loading = this.#loadOlder().finally(() => {
      if (this.#loading === loading) this.#loading = undefined;
    });
    this.#loading = loading;
    return loading;
  }

  /** Forgets the oldest klines of a long session; history can be loaded again. */
  trim(keep: number): void {
    if (this.store.trim(keep)) this.#complete = false;
  }

  /** The last close before `time` (Unix ms) at an interval of a minute; undefined if there is none. */
  async closeBefore(symbol: string, time: number): Promise<number | undefined> {
    const reply = await this.#link.invoke<HistoryReply>("History", { symbol, interval: "m1", limit: 1, before: time } satisfies HistoryRequest);
    return reply.klines.at(-1)?.close;
  }

  #leave(old: { symbol: string; interval: Interval } | undefined): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asked++;
    this.#waiting = false;
    this.#subscribedOnce = false;
    this.#buffer = [];
    this.#position = undefined;
    this.#retryDelay = FIRST_RETRY_DELAY;
    this.#complete = false;
    this.#loading = undefined;
    if (old !== undefined && this.#link.connected) {
      // If the connection breaks meanwhile, the subscription ends with it.
      this.#link.invoke("Unsubscribe", { symbol: old.symbol, intervals: [old.interval] }).catch(() => {});
    }
  }

  async #subscribe(): Promise<void> {
    const { symbol, interval } = this.#open!;
    const asked = ++this.#asked;
    const resume = this.#position;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = true;
    this.#buffer = [];
    const limit = Math.min(MOST_KLINES_OF_A_REQUEST, Math.max(SNAPSHOT_LIMIT, this.store.all.length));
    const request: SubscribeRequest = { symbol, intervals: [interval], limit, ...(resume !== undefined && { resume }) };
    let reply: SubscribeReply;
    try {
      reply = await this.#link.invoke<SubscribeReply>("Subscribe", request);
    } catch (error) {
      if (asked !== this.#asked || !this.#link.connected) return;
      this.#waiting = false;
      const failure = readRefusal(error);
      this.#events.failed(failure);
      if (failure.retry) this.#subscribeLater();
      return;
    }

    if (asked !== this.#asked) return;
    this.#waiting = false;
    this.#retryDelay = FIRST_RETRY_DELAY;
    this.#position = { epoch: reply.epoch, seq: reply.seq };
    const klines = reply.klines[interval] ?? [];
    if (resume !== undefined && reply.recovered) {
      this.store.merge(klines);
    } else {
      this.store.replace(klines);
      this.#complete = false;
    }

    if (reply.state !== undefined) this.#setStatus(reply);
    this.#events.failed(null);
    if (!this.#subscribedOnce) {
      this.#subscribedOnce = true;
      this.#events.opened();
    }

    const buffered = this.#buffer;
    this.#buffer = [];
    for (const message of buffered) {
      // What was sent before the snapshot is in it. At its very place are, over /ws, the first messages of the update after it, whose last one alone says that the update is whole.
      if (!isAfter(reply, message)) this.#apply(message);
    }
  }

  #apply(message: KlineMessage): void {
    const { interval } = this.#open!;
    const klines = message.klines.filter((kline) => kline.interval === interval);
    // Another interval's message is no sign that this one's have come: over /ws each has a queue of its own.
    if (klines.length === 0) return;
    this.store.merge(klines);
    if (isAfter(message, this.#position!)) this.#position = { epoch: message.epoch, seq: message.seq };
  }

  #subscribeLater(): void {
    const delay = this.#retryDelay;
    this.#retryDelay = Math.min(LONGEST_RETRY_DELAY, delay * 2);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#open !== undefined && this.#link.connected) void this.#subscribe();
    }, delay);
  }

  async #loadOlder(): Promise<boolean> {
    const open = this.#open;
    const oldest = this.store.oldest;
    if (open === undefined || oldest === undefined || this.#complete || !this.#link.connected) return false;
    let reply: HistoryReply;
    try {
      reply = await this.#link.invoke<HistoryReply>("History", {
        symbol: open.symbol, interval: open.interval, limit: PAGE_LIMIT, before: oldest.openTime,
      } satisfies HistoryRequest);
    } catch {
      // The next scroll asks again.
      return false;
    }

    // Another series is open, or a new snapshot came: the page may not meet the oldest kline any more.
    if (open !== this.#open || this.store.oldest?.openTime !== oldest.openTime) return false;
    const older = reply.klines.filter((kline) => kline.openTime < oldest.openTime);
    if (older.length === 0) {
      this.#complete = true;
      return false;
    }

    this.store.merge(older);
    return true;
  }

  #setStatus(message: { state?: FeedStatus["state"]; simulated?: boolean; source?: string; since?: number }): void {
    this.#status = {
      state: message.state ?? this.#status?.state ?? "live",
      simulated: message.simulated ?? this.#status?.simulated ?? false,
      source: message.source ?? this.#status?.source ?? "",
      ...(message.since !== undefined && { since: message.since }),
    };
    this.#events.status(this.#status);
  }
}

/** Whether `a` is a later place than `b`. Epochs grow. */
export function isAfter(a: Position, b: Position): boolean {
  return a.epoch === b.epoch ? a.seq > b.seq : BigInt(a.epoch) > BigInt(b.epoch);
}

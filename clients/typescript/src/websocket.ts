import { KlineClient } from "./client.js";
import type { LinkEvents, RunningLink } from "./link.js";
import { retryDelay } from "./retryDelay.js";
import {
  intervalMilliseconds, type HistoryReply, type HistoryRequest, type Interval, type Kline, type Position, type StatusMessage, type SubscribeReply, type SubscribeRequest, type SymbolInfo,
} from "./types.js";

/** What the link uses of a WebSocket: the browser's own, that of Node 22 and newer, and that of npm's `ws`. */
export interface Socket {
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

export interface SocketLinkOptions {
  /** Asked for a key or a token at every connect, where the server wants one. */
  token?: () => string | Promise<string>;
  /** Makes the socket; by default the platform's WebSocket. */
  socket?: (url: string) => Socket;
  /** How long a request may go unanswered, and a connection silent, in milliseconds. Default 15,000. */
  patience?: number;
}

/** A candle as the older wires write it. */
interface Candle {
  time: number;
  open: number;
  high: number;
  low: number;
  close: number;
  is_final: boolean;
  update_count: number;
  base_volume: number;
  quote_volume: number;
  trade_count: number;
  revision: number;
}

interface Request {
  message: Record<string, unknown>;
  /** Takes a message of the server while the request waits; returns true when it was the last of its answer. */
  take(type: string, data: any): boolean;
  refuse(error: Error): void;
}

/**
 * The raw WebSocket `/ws` as a link. Requests are asked one after another, because an error does not say which it answers. Reconnects for ever with
 * growing, jittered pauses. A connection on which nothing comes for `patience` after a question is given up: a browser does not notice a cable that was pulled.
 */
export class SocketLink implements RunningLink {
  readonly #url: URL;
  readonly #events: LinkEvents;
  readonly #options: SocketLinkOptions;
  readonly #patience: number;
  #socket: Socket | undefined;
  #running = false;
  #connected = false;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  #asking: Request | undefined;
  #queue: Request[] = [];
  #ids = 0;

  /** @param url The address of the socket, `wss://host/ws`. */
  constructor(url: string, events: LinkEvents, options: SocketLinkOptions = {}) {
    this.#url = new URL(url);
    this.#events = events;
    this.#options = options;
    this.#patience = options.patience ?? 15_000;
  }

  get connected(): boolean {
    return this.#connected;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#attempt = 0;
    this.#events.state("connecting");
    void this.#connect();
  }

  stop(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    this.#running = false;
    clearTimeout(this.#timer);
    this.#drop();
    this.#events.state("disconnected");
    return Promise.resolve();
  }

  invoke<T>(method: string, ...args: unknown[]): Promise<T> {
    switch (method) {
      case "Subscribe": return this.#subscribe(args[0] as SubscribeRequest) as Promise<T>;
      case "Unsubscribe": return this.#unsubscribe(args[0] as { symbol: string; intervals: Interval[] }) as Promise<T>;
      case "History": return this.#history(args[0] as HistoryRequest) as Promise<T>;
      case "Symbols": return this.#symbols(args[0] as string, args[1] as number) as Promise<T>;
      default: return Promise.reject(new Error(`${method} is not a request of /ws.`));
    }
  }

  async #connect(): Promise<void> {
    let socket: Socket;
    try {
      const url = new URL(this.#url);
      if (this.#options.token !== undefined) url.searchParams.set("access_token", await this.#options.token());
      if (!this.#running) return;
      socket = (this.#options.socket ?? platformSocket)(url.href);
    } catch (error) {
      this.#lost(error instanceof Error ? error.message : String(error));
      return;
    }

    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) this.#receive(String(data));
    };
    socket.onclose = ({ code, reason }: { code?: number; reason?: string }) => {
      if (this.#socket === socket) this.#lost(reason || (code === undefined ? "The connection broke." : `The connection was closed (${code}).`));
    };
    // A close follows every error and says more.
    socket.onerror = () => {};
    this.#watch(this.#patience);
  }

  #receive(text: string): void {
    this.#watch(this.#patience * 2, true);
    let message: any;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }

    const { type } = message;
    if (type === "connection_success") {
      this.#connected = true;
      this.#attempt = 0;
      this.#events.state("connected");
      return;
    }

    const data = message.data ?? message;
    if (type === "kline_data") {
      this.#events.kline({
        symbol: data.symbol, epoch: data.epoch, seq: data.seq, eventTime: data.timestamp, sentAt: message.timestamp, klines: [toKline(data.interval, data.data)],
      });
    } else if (type === "status") {
      this.#events.status(data as StatusMessage);
    } else if (this.#asking !== undefined) {
      const asking = this.#asking;
      if (type === "error") {
        this.#asking = undefined;
        asking.refuse(new Error(`${message.code}: ${message.message}`));
        this.#next();
      } else if (asking.take(type, data)) {
        this.#asking = undefined;
        this.#next();
      }
    }
  }

  /** Expects a message within `time`. With `ask` the server is asked for one when half of it is over. */
  #watch(time: number, ask = false): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      if (ask && this.#socket !== undefined && this.#connected) {
        this.#socket.send('{"msg_type":"ping"}');
        this.#watch(time / 2);
      } else {
        this.#lost("The server does not answer.");
      }
    }, ask ? time / 2 : time);
  }

  #lost(reason: string): void {
    this.#drop();
    if (!this.#running) return;
    this.#events.state("reconnecting", reason);
    this.#timer = setTimeout(() => void this.#connect(), retryDelay(this.#attempt++));
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#connected = false;
    clearTimeout(this.#watchdog);
    const waiting = this.#asking === undefined ? this.#queue : [this.#asking, ...this.#queue];
    this.#asking = undefined;
    this.#queue = [];
    try {
      socket?.close();
    } catch {
      // It was not open yet.
    }

    for (const request of waiting) request.refuse(new Error("The connection was lost."));
  }

  #ask<T>(message: Record<string, unknown>, take: (type: string, data: any, resolve: (value: T) => void) => boolean): Promise<T> {
    if (!this.#connected) return Promise.reject(new Error("Not connected."));
    return new Promise<T>((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const request: Request = {
        message,
        take: (type, data) => {
          const done = take(type, data, resolve);
          if (done) clearTimeout(timer);
          return done;
        },
        refuse: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      // An answer that never comes would hold up all that wait behind it, and a later one could be taken for it: the connection is begun anew.
      timer = setTimeout(() => this.#lost("The server does not answer."), this.#patience * (this.#queue.length + 1));
      this.#queue.push(request);
      if (this.#asking === undefined) this.#next();
    });
  }

  #next(): void {
    this.#asking = this.#queue.shift();
    if (this.#asking !== undefined) this.#socket?.send(JSON.stringify(this.#asking.message));
  }

  async #subscribe({ symbol, intervals, limit, resume }: SubscribeRequest): Promise<SubscribeReply> {
    const reply: SubscribeReply = { symbol, epoch: 0, seq: 0, recovered: true, klines: {} };
    for (const interval of intervals) {
      const one = await this.#subscribeTo(symbol, interval, limit, resume);
      // Of several intervals the earliest position is the one from which nothing is missed.
      if (reply.epoch === 0 || one.seq < reply.seq) [reply.epoch, reply.seq] = [one.epoch, one.seq];
      reply.recovered &&= one.recovered;
      Object.assign(reply.klines, one.klines);
    }

    return reply;
  }

  #subscribeTo(symbol: string, interval: Interval, limit: number | undefined, resume: Position | undefined): Promise<SubscribeReply> {
    const id = `k${++this.#ids}`;
    let klines: Kline[] = [];
    let position: Position = resume ?? { epoch: 0, seq: 0 };
    return this.#ask<SubscribeReply>({ msg_type: "subscribe", symbol, interval, subscription_id: id, ...(limit !== undefined && { limit }), ...(resume !== undefined && { resume }) },
      (type, data, resolve) => {
        if (type === "history_data" && data.symbol === symbol && data.interval === interval) {
          klines = (data.data as Candle[]).map((candle) => toKline(interval, candle));
          position = { epoch: data.epoch, seq: data.seq };
        } else if (type === "subscription_confirmed" && data.subscription_id === id) {
          resolve({ symbol, ...position, recovered: data.recovered === true, klines: { [interval]: klines } });
          return true;
        }

        return false;
      });
  }

  async #unsubscribe({ symbol, intervals }: { symbol: string; intervals: Interval[] }): Promise<{ symbol: string }> {
    for (const interval of intervals) {
      await this.#ask<void>({ msg_type: "unsubscribe", symbol, interval }, (type, data, resolve) => {
        if (type !== "unsubscribe_confirmed" || data.symbol !== symbol || data.interval !== interval) return false;
        resolve();
        return true;
      });
    }

    return { symbol };
  }

  #history({ symbol, interval, limit, before, from, to }: HistoryRequest): Promise<HistoryReply> {
    // Only what lies at or after a second of the wire is asked for; klines open at whole seconds.
    const seconds = (time: number | undefined): number | undefined => (time === undefined ? undefined : Math.ceil(time / 1_000));
    const message = { msg_type: "history", symbol, interval, limit, before: seconds(before), from: seconds(from), to: seconds(to) };
    return this.#ask<HistoryReply>(message, (type, data, resolve) => {
      if (type !== "history_data" || data.symbol !== symbol || data.interval !== interval) return false;
      resolve({ symbol, interval, klines: (data.data as Candle[]).map((candle) => toKline(interval, candle)) });
      return true;
    });
  }

  /** The socket knows no search; HTTP beside it does. */
  async #symbols(query: string, limit: number): Promise<{ symbols: SymbolInfo[] }> {
    const url = new URL("api/v1/symbols", this.#url);
    url.protocol = this.#url.protocol === "wss:" ? "https:" : "http:";
    url.search = new URLSearchParams({ query, limit: String(limit) }).toString();
    const token = await this.#options.token?.();
    const response = await fetch(url, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } });
    if (!response.ok) throw new Error(`The server answers ${response.status} to a search for symbols.`);
    return (await response.json()) as { symbols: SymbolInfo[] };
  }
}

/** A client over the raw WebSocket: `webSocket("wss://host/ws")`. Call `start` on it. */
export function webSocket(url: string, options?: SocketLinkOptions): KlineClient {
  return new KlineClient((events) => new SocketLink(url, events, options));
}

function platformSocket(url: string): Socket {
  if (typeof WebSocket === "undefined") throw new Error("This platform has no WebSocket: give one with the option 'socket', as in (url) => new (require('ws'))(url).");
  return new WebSocket(url) as Socket;
}

function toKline(interval: Interval, candle: Candle): Kline {
  const openTime = candle.time * 1_000;
  return {
    interval, openTime, endTime: openTime + intervalMilliseconds(interval), open: candle.open, high: candle.high, low: candle.low, close: candle.close,
    baseVolume: candle.base_volume, quoteVolume: candle.quote_volume, trades: candle.trade_count, updates: candle.update_count, revision: candle.revision, isFinal: candle.is_final,
  };
}

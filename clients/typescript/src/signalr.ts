import { HttpTransportType, HubConnectionBuilder, HubConnectionState, LogLevel, type HubConnection } from "@microsoft/signalr";
import { KlineClient } from "./client.js";
import { retryDelay } from "./retryDelay.js";
import type { LinkEvents, RunningLink } from "./link.js";
import type { KlineMessage, StatusMessage } from "./types.js";

export interface HubLinkOptions {
  /** Asked for a key or a token at every connect, where the server wants one. */
  token?: () => string | Promise<string>;
}

/**
 * The connection to the hub. Reconnects for ever with growing, jittered pauses, except after the server closed the connection and forbade
 * reconnecting: then only `start` connects again.
 */
export class HubLink implements RunningLink {
  readonly #connection: HubConnection;
  readonly #events: LinkEvents;
  #running = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param url The address of the hub, `https://host/hubs/kline`. */
  constructor(url: string, events: LinkEvents, options: HubLinkOptions = {}) {
    this.#events = events;
    this.#connection = new HubConnectionBuilder()
      .withUrl(url, {
        transport: HttpTransportType.WebSockets | HttpTransportType.ServerSentEvents | HttpTransportType.LongPolling,
        ...(options.token !== undefined && { accessTokenFactory: options.token }),
      })
      .withAutomaticReconnect({ nextRetryDelayInMilliseconds: ({ previousRetryCount }) => retryDelay(previousRetryCount) })
      // Whoever uses the link hears of its state; the console stays for the application.
      .configureLogging(LogLevel.None)
      .build();
    this.#connection.on("kline", (message: KlineMessage) => events.kline(message));
    this.#connection.on("status", (message: StatusMessage) => events.status(message));
    // Fewer updates of forming klines than there were: nothing to do, but a method without a handler would be warned of.
    this.#connection.on("skipped", () => {});
    this.#connection.onreconnecting((error) => events.state("reconnecting", error?.message));
    this.#connection.onreconnected(() => events.state("connected"));
    this.#connection.onclose((error) => {
      this.#running = false;
      events.state("disconnected", error?.message);
    });
  }

  get connected(): boolean {
    return this.#connection.state === HubConnectionState.Connected;
  }

  /** Connects, and keeps trying until it succeeds or `stop` is called. Does nothing while it already runs. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#events.state("connecting");
    void this.#try(0);
  }

  async stop(): Promise<void> {
    this.#running = false;
    clearTimeout(this.#timer);
    await this.#connection.stop();
  }

  invoke<T>(method: string, ...args: unknown[]): Promise<T> {
    return this.#connection.invoke<T>(method, ...args);
  }

  async #try(attempt: number): Promise<void> {
    try {
      await this.#connection.start();
    } catch (error) {
      if (!this.#running) return;
      this.#events.state("reconnecting", error instanceof Error ? error.message : String(error));
      this.#timer = setTimeout(() => void this.#try(attempt + 1), retryDelay(attempt));
      return;
    }

    this.#events.state("connected");
  }
}

/** A client over SignalR: `signalr("https://host")`. Call `start` on it. */
export function signalr(server: string, options?: HubLinkOptions): KlineClient {
  return new KlineClient((events) => new HubLink(new URL("hubs/kline", server.endsWith("/") ? server : `${server}/`).href, events, options));
}

import { HttpTransportType, HubConnectionBuilder, HubConnectionState, LogLevel, type HubConnection } from "@microsoft/signalr";
import { retryDelay } from "./retryDelay";
import type { KlineMessage, StatusMessage } from "./types";

export type LinkState = "connecting" | "connected" | "reconnecting" | "disconnected";

/** What a session needs of the connection to the hub. */
export interface Link {
  readonly connected: boolean;
  /** Rejects with the hub's error, or because the connection went away. */
  invoke<T>(method: string, ...args: unknown[]): Promise<T>;
}

export interface LinkEvents {
  state(state: LinkState, reason?: string): void;
  kline(message: KlineMessage): void;
  status(message: StatusMessage): void;
}

/**
 * The connection to the hub. Reconnects for ever with growing, jittered pauses, except after the server closed the connection and forbade
 * reconnecting: then only `start` connects again.
 */
export class HubLink implements Link {
  readonly #connection: HubConnection;
  readonly #events: LinkEvents;
  #running = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, events: LinkEvents) {
    this.#events = events;
    this.#connection = new HubConnectionBuilder()
      .withUrl(url, { transport: HttpTransportType.WebSockets | HttpTransportType.ServerSentEvents | HttpTransportType.LongPolling })
      .withAutomaticReconnect({ nextRetryDelayInMilliseconds: ({ previousRetryCount }) => retryDelay(previousRetryCount) })
      // The page shows the state of the connection; the console stays for errors of the page itself.
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

import type { KlineMessage, StatusMessage } from "./types.js";

export type LinkState = "connecting" | "connected" | "reconnecting" | "disconnected";

/** What a session needs of the connection to a server. */
export interface Link {
  readonly connected: boolean;
  /** Calls `Subscribe`, `Unsubscribe`, `History` or `Symbols`. Rejects with the server's refusal, or because the connection went away. */
  invoke<T>(method: string, ...args: unknown[]): Promise<T>;
}

/** A link that connects by itself, and again after a break. */
export interface RunningLink extends Link {
  /** Connects, and keeps trying until it succeeds or `stop` is called. Does nothing while it already runs. */
  start(): void;
  stop(): Promise<void>;
}

export interface LinkEvents {
  state(state: LinkState, reason?: string): void;
  kline(message: KlineMessage): void;
  status(message: StatusMessage): void;
}

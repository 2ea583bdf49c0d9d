import type { LinkEvents, RunningLink } from "../src/link.js";

export interface Call {
  method: string;
  request: any;
  answer(value: unknown): Promise<void>;
  refuse(message: string): Promise<void>;
}

/** A link whose answers the test gives. */
export class FakeLink implements RunningLink {
  connected = true;
  calls: Call[] = [];
  events: LinkEvents | undefined;

  start(): void {
    this.connected = true;
    this.events?.state("connected");
  }

  stop(): Promise<void> {
    this.drop("disconnected");
    return Promise.resolve();
  }

  drop(state: "reconnecting" | "disconnected" = "reconnecting"): void {
    this.connected = false;
    this.events?.state(state);
  }

  invoke<T>(method: string, request: unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = async (act: () => void): Promise<void> => {
        act();
        // What waits for the answer, and what waits for that.
        for (let i = 0; i < 10; i++) await Promise.resolve();
      };
      this.calls.push({ method, request, answer: (value) => settle(() => resolve(value as T)), refuse: (message) => settle(() => reject(new Error(message))) });
    });
  }

  last(method: string): Call {
    return this.calls.findLast((call) => call.method === method)!;
  }

  count(method: string): number {
    return this.calls.filter((call) => call.method === method).length;
  }
}

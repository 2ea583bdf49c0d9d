export { KlineClient, type Watch, type WatchOptions } from "./client.js";
export { KlineSession, type SessionEvents } from "./klineSession.js";
export { KlineStore, supersedes, type Changes } from "./klineStore.js";
export type { Link, LinkEvents, LinkState, RunningLink } from "./link.js";
export { readRefusal, type Refusal } from "./refusal.js";
export { retryDelay } from "./retryDelay.js";
export { findSymbols } from "./symbols.js";
export * from "./types.js";

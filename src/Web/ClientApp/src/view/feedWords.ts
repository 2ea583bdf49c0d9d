import type { FeedStatus, LinkState } from "@kline-orleans/client";

export interface FeedWords {
  word: string;
  /** Names the colour: good, busy, warn, bad, wait, done. */
  tone: "good" | "busy" | "warn" | "bad" | "wait" | "done";
  explanation: string;
}

const FEEDS: Record<string, FeedWords> = {
  starting: { word: "Starting", tone: "wait", explanation: "The source has not begun to read" },
  live: { word: "Live", tone: "good", explanation: "Complete up to the present" },
  stale: { word: "Stale", tone: "warn", explanation: "Nothing heard from the source for too long; trades may be missing" },
  backfilling: { word: "Backfilling", tone: "busy", explanation: "Fetching trades that were missed" },
  replaying: { word: "Replaying", tone: "busy", explanation: "Playing a recording" },
  ended: { word: "Replay ended", tone: "done", explanation: "The recording came to its end" },
  failed: { word: "Source failed", tone: "bad", explanation: "The source gave up and is tried again" },
  closed: { word: "Source closed", tone: "done", explanation: "The source was stopped on purpose" },
};

// The hub calls a recording that plays live, and one that was played to its end closed.
const REPLAYS: Record<string, string> = { live: "replaying", closed: "ended" };

/**
 * What the page says about the feed: the connection's trouble first, for without it the feed's own state is old news.
 * @param kind The kind of the source, where it is known.
 */
export function feedWords(link: LinkState, status: FeedStatus | undefined, kind?: string): FeedWords {
  switch (link) {
    case "connecting":
      return { word: "Connecting", tone: "wait", explanation: "Connecting to the server" };
    case "reconnecting":
      return { word: "Reconnecting", tone: "warn", explanation: "The connection to the server was lost; trying again" };
    case "disconnected":
      return { word: "Disconnected", tone: "bad", explanation: "The server closed the connection" };
    case "connected":
      break;
  }

  if (status === undefined) return { word: "Connected", tone: "wait", explanation: "Waiting for the feed" };
  const state = (kind === "Replay" ? REPLAYS[status.state] : undefined) ?? status.state;
  return FEEDS[state] ?? { word: state.charAt(0).toUpperCase() + state.slice(1), tone: "wait", explanation: "State of the source" };
}

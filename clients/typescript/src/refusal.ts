/** A refusal of the hub, which it words "CODE: sentence". */
export interface Refusal {
  /** 0 when the error is not one of the hub's own. */
  code: number;
  sentence: string;
  /** Whether asking again later can help. */
  retry: boolean;
}

// 1001 bad request, 1002 too many subscriptions, 1005 not authorised: the same request will be refused again.
const LASTING = new Set([1001, 1002, 1005]);

/** Reads an error that an invocation of the hub rejected with. */
export function readRefusal(error: unknown): Refusal {
  const text = error instanceof Error ? error.message : String(error);
  const match = /(?:^|HubException: )(\d{4}): (.+)$/s.exec(text);
  if (match === null) return { code: 0, sentence: text, retry: true };
  const code = Number(match[1]);
  return { code, sentence: match[2]!, retry: !LASTING.has(code) };
}

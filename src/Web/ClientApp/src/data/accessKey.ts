const KEY = "kline.access";

// The tab's memory and nothing longer: what opens the server is not left on a shared machine. A browser may forbid even that.

/** The key or token that the user gave in this tab; empty if none. */
export function readAccessKey(): string {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** Remembers it until the tab is closed; empty forgets it. */
export function writeAccessKey(key: string): void {
  try {
    if (key === "") sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, key);
  } catch {
    // It still holds until the page is left.
  }
}

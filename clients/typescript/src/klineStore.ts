import type { Kline } from "./types.js";

/** What changed since the view last looked. */
export interface Changes {
  /** The series is another one (new symbol or interval): forget zoom and position too. */
  fresh: boolean;
  /** Draw everything anew: klines were replaced, or appeared before the newest one. */
  rebuild: boolean;
  /** Klines that changed in place or joined at the end, ascending. Empty when `rebuild` is set. */
  changed: Kline[];
}

/**
 * The klines of one symbol and interval, ascending and unique by open time, whatever order snapshots, live updates, corrections and history pages
 * come in. Of two versions of a kline the higher revision wins, then the final one, then the one with more updates, then the newer arrival.
 */
export class KlineStore {
  #klines: Kline[] = [];
  #fresh = true;
  #rebuild = true;
  #dirty = new Set<number>();
  readonly #onChange: () => void;

  constructor(onChange: () => void = () => {}) {
    this.#onChange = onChange;
  }

  get all(): readonly Kline[] {
    return this.#klines;
  }

  get oldest(): Kline | undefined {
    return this.#klines[0];
  }

  get newest(): Kline | undefined {
    return this.#klines.at(-1);
  }

  /** The index of the kline that opens at `openTime`, or -1. */
  indexOf(openTime: number): number {
    const index = this.#lowerBound(openTime);
    return this.#klines[index]?.openTime === openTime ? index : -1;
  }

  /** Begins another series. */
  clear(): void {
    this.#klines = [];
    this.#fresh = true;
    this.#rebuild = true;
    this.#dirty.clear();
    this.#onChange();
  }

  /** Takes a snapshot instead of everything held: continuity was lost. */
  replace(klines: readonly Kline[]): void {
    this.#klines = [];
    this.#rebuild = true;
    this.#dirty.clear();
    for (const kline of sorted(klines)) this.#put(kline);
    this.#onChange();
  }

  /** Merges live updates, corrections or a page of history. Returns how many klines were new or changed. */
  merge(klines: readonly Kline[]): number {
    let count = 0;
    const incoming = sorted(klines);
    const oldest = this.#klines[0];
    let rest = incoming;
    if (oldest !== undefined) {
      // A page of history goes in front in one step; one by one would move the whole array each time.
      const end = incoming.findIndex((kline) => kline.openTime >= oldest.openTime);
      const page = end < 0 ? incoming : incoming.slice(0, end);
      if (page.length > 0) {
        const unique = page.filter((kline, index) => kline.openTime !== page[index + 1]?.openTime);
        this.#klines = unique.concat(this.#klines);
        this.#rebuild = true;
        count += unique.length;
        rest = end < 0 ? [] : incoming.slice(end);
      }
    }

    for (const kline of rest) if (this.#put(kline)) count++;
    if (count > 0) this.#onChange();
    return count;
  }

  /** Forgets the oldest klines so that at most `keep` stay. Returns whether any went. */
  trim(keep: number): boolean {
    if (this.#klines.length <= keep) return false;
    this.#klines = this.#klines.slice(-keep);
    this.#rebuild = true;
    this.#dirty.clear();
    this.#onChange();
    return true;
  }

  /** Hands over what changed and forgets it. */
  takeChanges(): Changes {
    const changed = this.#rebuild
      ? []
      : [...this.#dirty]
          .sort((a, b) => a - b)
          .map((openTime) => this.#klines[this.indexOf(openTime)])
          .filter((kline) => kline !== undefined);
    const changes = { fresh: this.#fresh, rebuild: this.#rebuild, changed };
    this.#fresh = false;
    this.#rebuild = false;
    this.#dirty.clear();
    return changes;
  }

  #put(kline: Kline): boolean {
    const index = this.#lowerBound(kline.openTime);
    const held = this.#klines[index];
    if (held === undefined) {
      this.#klines.push(kline);
    } else if (held.openTime !== kline.openTime) {
      this.#klines.splice(index, 0, kline);
      this.#rebuild = true;
    } else if (supersedes(kline, held)) {
      this.#klines[index] = kline;
    } else {
      return false;
    }

    if (!this.#rebuild) this.#dirty.add(kline.openTime);
    return true;
  }

  /** The first index whose kline does not open before `openTime`. Live updates concern the newest, so the end is looked at first. */
  #lowerBound(openTime: number): number {
    const klines = this.#klines;
    const newest = klines.at(-1);
    if (newest === undefined || newest.openTime < openTime) return klines.length;
    if (newest.openTime === openTime) return klines.length - 1;
    let low = 0;
    let high = klines.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (klines[middle]!.openTime < openTime) low = middle + 1;
      else high = middle;
    }

    return low;
  }
}

/** Whether `next` takes the place of `held`, a version of the same kline. */
export function supersedes(next: Kline, held: Kline): boolean {
  if (next.revision !== held.revision) return next.revision > held.revision;
  if (next.isFinal !== held.isFinal) return next.isFinal;
  return next.updates >= held.updates;
}

/** Ascending, and of one open time the winning version last. */
function sorted(klines: readonly Kline[]): readonly Kline[] {
  for (let i = 1; i < klines.length; i++) {
    if (klines[i - 1]!.openTime >= klines[i]!.openTime) {
      return [...klines].sort((a, b) => a.openTime - b.openTime || (supersedes(a, b) ? (supersedes(b, a) ? 0 : 1) : -1));
    }
  }

  return klines;
}

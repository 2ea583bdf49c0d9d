/** What kind each source is (Replay, Simulation, ...), as the server's health tells. The hub names sources only. */
export class SourceKinds {
  readonly #kinds = new Map<string, string>();
  readonly #url: string;
  readonly #learned: () => void;
  #asking = false;

  constructor(url: string, learned: () => void) {
    this.#url = url;
    this.#learned = learned;
  }

  /** The kind of the source, or undefined while it is not known; then it is asked for, and `learned` called when it is there. */
  of(source: string): string | undefined {
    if (source !== "" && !this.#kinds.has(source) && !this.#asking) void this.#ask(source);
    return this.#kinds.get(source);
  }

  async #ask(source: string): Promise<void> {
    this.#asking = true;
    try {
      const health = (await (await fetch(this.#url)).json()) as { sources?: { name: string; kind: string }[] };
      for (const each of health.sources ?? []) this.#kinds.set(each.name, each.kind);
    } catch {
      // Health may be closed to visitors; the hub's own words do then.
    }

    // Asked once per source: an empty kind stands for one that health does not tell.
    if (!this.#kinds.has(source)) this.#kinds.set(source, "");
    this.#asking = false;
    this.#learned();
  }
}

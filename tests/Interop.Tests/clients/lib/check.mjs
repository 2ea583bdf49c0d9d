// What the scripts share: a safety stop, named checks, and waiting for what arrives.
export const safety = setTimeout(() => {
  console.error("timed out");
  process.exit(2);
}, 60_000);

export async function check(name, run) {
  try {
    await run();
  } catch (error) {
    console.error(`failed: ${name}`);
    throw error;
  }
  console.log(`ok ${name}`);
}

/** Keeps what arrives in order; take(match) waits for the first that fits and drops those before it. */
export class Inbox {
  #items = [];
  #waiting = null;

  push(item) {
    this.#items.push(item);
    this.#waiting?.();
  }

  async take(match = () => true) {
    for (;;) {
      const at = this.#items.findIndex(match);
      if (at >= 0) return this.#items.splice(0, at + 1)[at];
      await new Promise((resolve) => (this.#waiting = resolve));
    }
  }

  get all() {
    return this.#items;
  }
}

export function done() {
  clearTimeout(safety);
  console.log("all ok");
  process.exit(0);
}

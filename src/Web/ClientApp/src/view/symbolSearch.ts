import type { SymbolInfo } from "@kline-orleans/client";
import { price, shortMint } from "./format";

const LIMIT = 30;
const PAUSE = 100;
/** The first symbols of the list have prices; each is a request, and a client has 20 a second. */
const PRICED = 12;
const PRICE_PAUSE = 3_000;
/** How long after a search that the server could not answer it is asked again, in milliseconds. */
const RETRY = 1_000;

export interface SearchEvents {
  find(query: string, limit: number): Promise<SymbolInfo[]>;
  /** The last price of a symbol; undefined if there is none. */
  price(symbol: string): Promise<number | undefined>;
  chosen(symbol: SymbolInfo): void;
}

/** The search box: type-ahead over the server's symbols, by mouse or by keyboard (/ focuses, arrows move, Enter takes, Escape leaves). */
export class SymbolSearch {
  readonly #input: HTMLInputElement;
  readonly #list: HTMLUListElement;
  readonly #events: SearchEvents;
  #found: SymbolInfo[] = [];
  #active = -1;
  #asked = 0;
  #current = "";
  /** The list does not yet answer what was typed. */
  #typed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(root: HTMLElement, events: SearchEvents) {
    this.#input = root.querySelector("input")!;
    this.#list = root.querySelector("ul")!;
    this.#events = events;
    this.#input.addEventListener("focus", () => void this.#search());
    this.#input.addEventListener("input", () => {
      this.#typed = true;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => void this.#search(), PAUSE);
    });
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#input.addEventListener("blur", () => this.#hide());
    // The list must not take the focus from the input, or the blur would close it before the click arrives.
    this.#list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const item = (event.target as Element).closest("li[data-index]");
      if (item !== null) this.#take(Number((item as HTMLElement).dataset["index"]));
    });
  }

  focus(): void {
    this.#input.focus();
    this.#input.select();
  }

  /** Marks the symbol that the chart shows. */
  setCurrent(symbol: string): void {
    this.#current = symbol;
  }

  async #search(): Promise<void> {
    clearTimeout(this.#timer);
    this.#typed = false;
    const asked = ++this.#asked;
    let found: SymbolInfo[];
    try {
      found = await this.#events.find(this.#input.value.trim(), LIMIT);
    } catch {
      // The server is away for a moment: the same question again, unless another is typed meanwhile.
      found = [];
      if (asked === this.#asked && document.activeElement === this.#input) this.#timer = setTimeout(() => void this.#search(), RETRY);
    }

    if (asked !== this.#asked || document.activeElement !== this.#input) return;
    this.#found = found;
    this.#active = found.length > 0 && this.#input.value.trim() !== "" ? 0 : found.findIndex((info) => info.symbol === this.#current);
    this.#show();
    void this.#price(asked);
  }

  /** Fills in the prices while this answer is shown, and again every few seconds. */
  async #price(asked: number): Promise<void> {
    while (asked === this.#asked && !this.#list.hidden) {
      await Promise.all(this.#found.slice(0, PRICED).map(async ({ symbol }, index) => {
        const last = await this.#events.price(symbol).catch(() => undefined);
        if (asked !== this.#asked || last === undefined) return;
        const element = this.#list.children[index]?.querySelector<HTMLElement>(".option-price");
        if (element == null) return;
        const before = Number(element.dataset["value"] ?? last);
        if (last !== before) element.dataset["move"] = last > before ? "up" : "down";
        element.dataset["value"] = String(last);
        element.textContent = price(last);
      }));
      await new Promise((resolve) => setTimeout(resolve, PRICE_PAUSE));
    }
  }

  #show(): void {
    const items = this.#found.map((info, index) => {
      const item = document.createElement("li");
      item.id = `search-option-${index}`;
      item.setAttribute("role", "option");
      item.dataset["index"] = String(index);
      const named = typeof info.name === "string" && info.name !== "" && info.name !== info.symbol;
      item.append(span("option-name", named ? info.name! : shortMint(info.symbol)), span("option-mint", named ? shortMint(info.symbol) : ""), span("option-price", ""), span("option-source", info.source ?? ""));
      if (info.symbol === this.#current) item.classList.add("current");
      item.title = info.symbol;
      return item;
    });
    if (items.length === 0) {
      const none = document.createElement("li");
      none.className = "none";
      none.setAttribute("role", "presentation");
      none.textContent = "No symbol matches";
      items.push(none);
    }

    this.#list.replaceChildren(...items);
    this.#list.hidden = false;
    this.#input.setAttribute("aria-expanded", "true");
    this.#mark();
  }

  #mark(): void {
    for (const [index, item] of [...this.#list.children].entries()) {
      const selected = index === this.#active && this.#found.length > 0;
      item.setAttribute("aria-selected", String(selected));
      if (selected) item.scrollIntoView({ block: "nearest" });
    }

    if (this.#active >= 0 && this.#found.length > 0) this.#input.setAttribute("aria-activedescendant", `search-option-${this.#active}`);
    else this.#input.removeAttribute("aria-activedescendant");
  }

  #hide(): void {
    clearTimeout(this.#timer);
    this.#asked++;
    this.#list.hidden = true;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
  }

  #take(index: number): void {
    const info = this.#found[index];
    if (info === undefined) return;
    this.#input.value = "";
    this.#hide();
    this.#input.blur();
    this.#events.chosen(info);
  }

  #key(event: KeyboardEvent): void {
    switch (event.key) {
      case "ArrowDown":
      case "ArrowUp": {
        event.preventDefault();
        const count = this.#found.length;
        if (this.#list.hidden || count === 0) return void this.#search();
        const step = event.key === "ArrowDown" ? 1 : -1;
        this.#active = this.#active < 0 ? (step > 0 ? 0 : count - 1) : (this.#active + step + count) % count;
        this.#mark();
        break;
      }
      case "Enter": {
        event.preventDefault();
        // What was typed since the last answer counts: search first, then take the best.
        if (this.#typed || this.#list.hidden) void this.#search().then(() => this.#take(0));
        else this.#take(Math.max(0, this.#active));
        break;
      }
      case "Escape":
        event.preventDefault();
        this.#input.value = "";
        this.#hide();
        this.#input.blur();
        break;
    }
  }
}

function span(className: string, text: string): HTMLSpanElement {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

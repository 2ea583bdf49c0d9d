import { intervalSeconds, KlineStore, type Interval, type Kline, type KlineClient, type KlineSession, type LinkState } from "@kline-orleans/client";
import { ChartView } from "./chartView";
import { change, dateTime, exact, exactPrice, fine, shortMint, volume } from "./format";

const MOST_KLINES = 20_000;
const KEPT_KLINES = 15_000;

export interface PanelEvents {
  /** Something of the panel changed and wants to be drawn. */
  changed(): void;
  /** The reader turned to this panel. */
  focused(panel: Panel): void;
  /** The panel is not wanted any more. */
  closed(panel: Panel): void;
  /** The first snapshot of what was opened is here. */
  opened(panel: Panel): void;
  /** What a symbol is called, where it is known. */
  name(symbol: string): string | undefined;
  /** The reader asks to connect again, after the server closed the connection. */
  connect(): void;
  /** Whether a key or token was given already. */
  hasKey(): boolean;
  /** The reader gives a key or token, after the server asked for one. */
  keyGiven(key: string): void;
}

/** One chart of the page: what it follows, its canvas, the legend over it and what it says while there is nothing to draw. */
export class Panel {
  readonly element: HTMLElement;
  readonly store: KlineStore;
  readonly session: KlineSession;
  readonly chart: ChartView;
  opened = false;
  updates = 0;
  eventTime: number | undefined;
  interval: Interval;
  readonly #client: KlineClient;
  readonly #events: PanelEvents;
  readonly #parts: Record<"title" | "legend" | "time" | "latest" | "older" | "notice" | "noticeTitle" | "noticeText" | "noticeAction" | "access" | "canvas", HTMLElement>;
  readonly #fields: Record<string, HTMLElement>;
  #failure: string | null = null;
  #hovered: Kline | undefined;

  constructor(client: KlineClient, place: HTMLElement, interval: Interval, events: PanelEvents) {
    this.#client = client;
    this.#events = events;
    this.interval = interval;
    const template = document.getElementById("panel") as HTMLTemplateElement;
    this.element = (template.content.cloneNode(true) as DocumentFragment).firstElementChild as HTMLElement;
    place.append(this.element);
    const part = (name: string): HTMLElement => this.element.querySelector<HTMLElement>(`[data-part="${name}"]`)!;
    this.#parts = {
      title: part("title"), legend: part("legend"), time: part("time"), latest: part("latest"), older: part("older"), notice: part("notice"),
      noticeTitle: part("notice-title"), noticeText: part("notice-text"), noticeAction: part("notice-action"), access: part("access"), canvas: part("canvas"),
    };
    this.#fields = Object.fromEntries([...this.element.querySelectorAll<HTMLElement>("[data-field]")].map((element) => [element.dataset["field"]!, element]));

    this.store = new KlineStore(() => events.changed());
    this.session = client.session(this.store, {
      opened: () => {
        this.opened = true;
        events.opened(this);
        events.changed();
      },
      status: () => events.changed(),
      failed: (refusal) => {
        this.#failure = refusal?.sentence ?? null;
        events.changed();
      },
      updated: (message) => {
        this.updates++;
        this.eventTime = message.eventTime;
      },
    });
    this.chart = new ChartView(this.#parts.canvas, this.store, {
      hovered: (kline) => {
        this.#hovered = kline;
        events.changed();
      },
      needOlder: () => void this.#loadOlder(),
      following: () => events.changed(),
    });
    this.chart.setInterval(interval);

    this.element.addEventListener("pointerdown", () => events.focused(this));
    this.element.addEventListener("focusin", () => events.focused(this));
    part("close").addEventListener("click", () => events.closed(this));
    this.#parts.latest.addEventListener("click", () => this.chart.scrollToNewest());
    this.#parts.noticeAction.addEventListener("click", () => {
      if (client.state === "disconnected") events.connect();
      else this.session.retry();
    });
    this.#parts.access.addEventListener("submit", (event) => {
      event.preventDefault();
      const input = this.#parts.access.querySelector("input")!;
      events.keyGiven(input.value.trim());
      input.value = "";
    });
    this.#parts.canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  get symbol(): string | undefined {
    return this.session.symbol;
  }

  /** Shows a symbol and interval instead of what was shown. */
  open(symbol: string, interval: Interval): void {
    if (symbol !== this.session.symbol) this.eventTime = undefined;
    this.interval = interval;
    this.#failure = null;
    this.#hovered = undefined;
    this.chart.setInterval(interval);
    if (symbol === this.session.symbol && interval === this.session.interval) {
      this.opened = true;
    } else {
      this.opened = false;
      this.session.open(symbol, interval);
    }
  }

  remove(): void {
    this.#client.release(this.session);
    this.chart.remove();
    this.element.remove();
  }

  draw(link: LinkState, reason: string | undefined): void {
    if (this.store.all.length > MOST_KLINES && this.chart.atEnd) this.session.trim(KEPT_KLINES);
    this.chart.draw();
    this.#drawLegend();
    this.#drawNotice(link, reason);
    this.#parts.latest.hidden = this.chart.atEnd || this.store.newest === undefined;
    const { symbol } = this;
    setText(this.#parts.title, symbol === undefined ? "" : `${this.#events.name(symbol) ?? shortMint(symbol)} · ${this.interval}`);
  }

  async #loadOlder(): Promise<void> {
    if (this.session.historyComplete || !this.opened) return;
    this.#parts.older.hidden = false;
    await this.session.loadOlder();
    this.#parts.older.hidden = true;
  }

  #drawLegend(): void {
    const kline = this.#hovered ?? this.store.newest;
    const { legend, time } = this.#parts;
    legend.hidden = kline === undefined;
    if (kline === undefined) return;
    const fields = this.#fields;
    const previous = this.store.all[this.store.indexOf(kline.openTime) - 1];
    legend.dataset["move"] = kline.close >= kline.open ? "up" : "down";
    setText(time, dateTime(kline.openTime, intervalSeconds(this.interval)));
    // Under the crosshair with every digit; the newest kline's would jump to and fro.
    const number = this.#hovered === undefined ? fine : exactPrice;
    setText(fields["open"]!, number(kline.open));
    setText(fields["high"]!, number(kline.high));
    setText(fields["low"]!, number(kline.low));
    setText(fields["close"]!, number(kline.close));
    setText(fields["change"]!, change(previous?.close ?? kline.open, kline.close));
    setText(fields["volume"]!, this.#hovered === undefined ? volume(kline.baseVolume) : exact(kline.baseVolume));
    setText(fields["flags"]!, kline.revision > 0 ? `corrected ×${kline.revision}` : kline.isFinal ? "" : "forming");
    if (this.#hovered === undefined) this.chart.leaveRoom(legend.offsetTop - this.#parts.canvas.offsetTop + legend.offsetHeight);
  }

  #drawNotice(link: LinkState, reason: string | undefined): void {
    let title = "";
    let text = "";
    let action = "";
    if (link === "refused") {
      [title, text] = this.#events.hasKey()
        ? ["The key is not accepted", "The server does not know this key or token, or it has expired. Enter another one."]
        : ["This server asks for a key", "Enter a key or a token. It is kept until this tab is closed."];
    } else if (link === "disconnected") {
      [title, text, action] = ["Disconnected by the server", reason ?? "The server closed the connection.", "Connect again"];
    } else if (this.#failure !== null) {
      [title, text, action] = ["This symbol cannot be followed", this.#failure, "Try again"];
    } else if (this.store.newest === undefined) {
      if (link === "reconnecting") [title, text] = ["Server not reachable", "Trying again"];
      else if (link === "connecting") title = "Connecting";
      else if (this.symbol === undefined) [title, text] = ["Waiting for the first symbol", "The server knows none yet."];
      else if (this.opened) [title, text] = ["No trades yet", "The chart begins with the first one."];
      else title = "Loading klines";
    }

    const { access, notice, noticeTitle, noticeText, noticeAction } = this.#parts;
    notice.hidden = title === "";
    notice.classList.toggle("over", this.store.newest !== undefined);
    notice.classList.toggle("busy", action === "" && !this.opened && link !== "refused");
    if (access.hidden !== (link !== "refused")) {
      access.hidden = link !== "refused";
      if (!access.hidden && this.element.hasAttribute("data-focused")) access.querySelector("input")!.focus();
    }

    setText(noticeTitle, title);
    setText(noticeText, text);
    setText(noticeAction, action);
    noticeAction.hidden = action === "";
  }

  #key(event: KeyboardEvent): void {
    switch (event.key) {
      case "ArrowLeft": this.chart.scrollBy(event.shiftKey ? -50 : -5); break;
      case "ArrowRight": this.chart.scrollBy(event.shiftKey ? 50 : 5); break;
      case "+": case "=": this.chart.zoom(1.25); break;
      case "-": this.chart.zoom(0.8); break;
      case "End": this.chart.scrollToNewest(); break;
      default: return;
    }

    event.preventDefault();
  }
}

export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

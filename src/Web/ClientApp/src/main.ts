import { readAccessKey, writeAccessKey } from "./data/accessKey";
import { ChartSession } from "./data/chartSession";
import { HubLink, type LinkState } from "./data/hubLink";
import { KlineStore } from "./data/klineStore";
import { SourceKinds } from "./data/sourceKinds";
import { findSymbols } from "./data/symbols";
import { INTERVALS, intervalSeconds, type FeedState, type Interval, type Kline, type SymbolInfo } from "./data/types";
import { readPlace, writePlace } from "./view/address";
import { ChartView } from "./view/chartView";
import { feedWords } from "./view/feedWords";
import { change, dateTime, exact, fine, price, shortMint, timeOfDay, volume } from "./view/format";
import { SymbolSearch } from "./view/symbolSearch";
import { currentTheme, cssColor, onSystemTheme, toggleTheme } from "./view/theme";

const MOST_KLINES = 20_000;
const KEPT_KLINES = 15_000;
const DAY = 86_400_000;
const DAY_REFRESH = 60_000;

const byId = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;

const ui = {
  name: byId("symbol-name"), mint: byId<HTMLButtonElement>("mint"), simulated: byId("simulated"), source: byId("source"),
  price: byId("price"), change: byId("change"), facts: byId("facts"), legend: byId("legend"), legendTime: byId("legend-time"),
  state: byId("state"), stateWord: byId("state-word"), latest: byId<HTMLButtonElement>("latest"), older: byId("older"),
  notice: byId("notice"), noticeTitle: byId("notice-title"), noticeText: byId("notice-text"), noticeAction: byId<HTMLButtonElement>("notice-action"),
  access: byId<HTMLFormElement>("access"), accessKey: byId<HTMLInputElement>("access-key"),
  intervals: byId("intervals"), feed: byId("foot-feed"), rate: byId("foot-rate"), clock: byId("foot-clock"), theme: byId<HTMLButtonElement>("theme"), chart: byId("chart"),
};
const legendFields = Object.fromEntries([...ui.legend.querySelectorAll<HTMLElement>("[data-field]")].map((element) => [element.dataset["field"]!, element]));

let linkState: LinkState = "connecting";
let linkReason: string | undefined;
let accessKey = readAccessKey();
let opened = false;
let failure: string | null = null;
let hovered: Kline | undefined;
let frame = 0;
let lastPrice: number | undefined;
let eventTime: number | undefined;
let updates = 0;
let dayBase: { symbol: string; close: number } | undefined;
let dayAsked = 0;
let interval: Interval = readPlace(location.search).interval;
const names = new Map<string, SymbolInfo>();

// All drawing happens here, once per animation frame at most.
function schedule(): void {
  if (frame === 0) frame = requestAnimationFrame(render);
}

const store = new KlineStore(schedule);
const kinds = new SourceKinds(new URL("health/live", document.baseURI).href, schedule);
const link = new HubLink(new URL("hubs/kline", document.baseURI).href, {
  state(state, reason) {
    linkState = state;
    linkReason = reason;
    if (state === "connected") writeAccessKey(accessKey);
    if (state === "connected") connected();
    else session.disconnected();
    schedule();
  },
  kline(message) {
    if (message.symbol === session.symbol) {
      updates++;
      eventTime = message.eventTime;
    }

    session.kline(message);
  },
  status: (message) => session.statusChanged(message),
}, () => accessKey);
const session = new ChartSession(link, store, {
  opened() {
    opened = true;
    void refreshDay();
    schedule();
  },
  status: schedule,
  failed(error) {
    failure = error?.sentence ?? null;
    schedule();
  },
});
const chart = new ChartView(ui.chart, store, {
  hovered(kline) {
    hovered = kline;
    schedule();
  },
  needOlder: () => void loadOlder(),
  following: schedule,
});
const search = new SymbolSearch(byId("search"), {
  async find(query, limit) {
    const found = await findSymbols(link, query, limit);
    for (const info of found) names.set(info.symbol, info);
    return found;
  },
  chosen: (info) => go(info.symbol, interval, "push"),
});

function connected(): void {
  if (session.symbol === undefined) void openFirst();
  else session.connected();
  void learnName();
}

/** Opens what the address names, or the first symbol that has klines. */
async function openFirst(): Promise<void> {
  const place = readPlace(location.search);
  if (place.symbol !== undefined) return go(place.symbol, place.interval, "replace");
  try {
    const found = await findSymbols(link, "", 12);
    for (const info of found) names.set(info.symbol, info);
    let first = found[0];
    for (const info of found) {
      const { klines } = await link.invoke<{ klines: Kline[] }>("History", { symbol: info.symbol, interval: place.interval, limit: 1 });
      if (klines.some((kline) => kline.trades > 0)) {
        first = info;
        break;
      }
    }

    if (session.symbol !== undefined) return;
    if (first !== undefined) return go(first.symbol, place.interval, "replace");
  } catch {
    // Asked again below, or when the connection is back.
  }

  // No symbol yet: a fresh server may see its first one any moment.
  setTimeout(() => {
    if (session.symbol === undefined && link.connected) void openFirst();
  }, 2_000);
}

/** Shows a symbol and interval; `history` says what becomes of the page's address. */
function go(symbol: string, next: Interval, history: "push" | "replace" | "keep"): void {
  const changed = symbol !== session.symbol;
  interval = next;
  if (changed) {
    lastPrice = undefined;
    eventTime = undefined;
    dayBase = undefined;
  }

  opened = false;
  failure = null;
  hovered = undefined;
  chart.setInterval(next);
  if (symbol === session.symbol && next === session.interval) opened = true;
  else session.open(symbol, next);
  search.setCurrent(symbol);
  renderIntervals();
  const address = writePlace(symbol, next);
  if (history === "push" && location.search !== address) window.history.pushState(null, "", address);
  else if (history === "replace") window.history.replaceState(null, "", address);
  void learnName();
  schedule();
}

async function learnName(): Promise<void> {
  const { symbol } = session;
  if (symbol === undefined || names.has(symbol) || !link.connected) return;
  try {
    const found = await findSymbols(link, symbol, 5);
    for (const info of found) names.set(info.symbol, info);
    schedule();
  } catch {
    // The mint itself stands for its name.
  }
}

async function loadOlder(): Promise<void> {
  if (session.historyComplete || !opened) return;
  ui.older.hidden = false;
  await session.loadOlder();
  ui.older.hidden = true;
}

/** Learns the close a day before the newest kline, for the change of the day. */
async function refreshDay(): Promise<void> {
  const { symbol } = session;
  const newest = store.newest;
  if (symbol === undefined || newest === undefined || !link.connected) return;
  dayAsked = performance.now();
  try {
    const close = await session.closeBefore(symbol, (eventTime ?? newest.endTime) - DAY);
    if (symbol !== session.symbol) return;
    dayBase = close === undefined ? undefined : { symbol, close };
    schedule();
  } catch {
    // Asked again in a minute.
  }
}

function render(): void {
  frame = 0;
  if (store.all.length > MOST_KLINES && chart.atEnd) session.trim(KEPT_KLINES);
  chart.draw();
  renderHead();
  renderLegend();
  renderState();
  renderNotice();
  ui.latest.hidden = chart.atEnd || store.newest === undefined;
  // Changes of the session itself, such as trimming, may have asked for another frame: it is this one.
  cancelAnimationFrame(frame);
  frame = 0;
}

function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

function renderHead(): void {
  const { symbol } = session;
  const info = symbol === undefined ? undefined : names.get(symbol);
  const named = info?.name != null && info.name !== "" && info.name !== symbol;
  setText(ui.name, symbol === undefined ? "\u00a0" : named ? info.name! : shortMint(symbol));
  ui.mint.hidden = symbol === undefined || (!named && symbol.length <= 14);
  if (symbol !== undefined && ui.mint.dataset["copied"] === undefined) setText(ui.mint, shortMint(symbol));
  const source = session.status?.source ?? "";
  ui.simulated.hidden = session.status?.simulated !== true;
  ui.source.hidden = source === "" || (session.status?.simulated === true && source.toLowerCase() === "simulation");
  setText(ui.source, source);

  const newest = store.newest;
  if (newest === undefined) {
    setText(ui.price, "—");
    ui.change.hidden = true;
    ui.facts.hidden = true;
    return;
  }

  if (lastPrice !== undefined && newest.close !== lastPrice) {
    ui.price.dataset["move"] = newest.close > lastPrice ? "up" : "down";
  } else if (lastPrice === undefined) {
    ui.price.dataset["move"] = newest.close >= newest.open ? "up" : "down";
  }

  lastPrice = newest.close;
  setText(ui.price, price(newest.close));
  ui.price.title = exact(newest.close);
  const day = dayBase?.symbol === symbol ? dayBase : undefined;
  const from = day?.close ?? store.oldest!.open;
  const oldest = store.oldest!.openTime;
  const since = newest.openTime - oldest < DAY ? timeOfDay(oldest).slice(0, 5) : dateTime(oldest, intervalSeconds("d1"));
  setText(ui.change, `${change(from, newest.close)} ${day === undefined ? `since ${since}` : "24h"}`);
  ui.change.title = day === undefined ? "Change since the oldest kline loaded" : "Change since 24 hours before the newest trade";
  ui.change.dataset["move"] = newest.close >= from ? "up" : "down";
  ui.change.hidden = false;
  renderFacts(newest);
}

/** Figures of the newest kline's own bucket. */
function renderFacts(newest: Kline): void {
  ui.facts.hidden = false;
  setText(byId("fact-change-label"), `${newest.interval} change`);
  setText(byId("fact-change"), change(newest.open, newest.close));
  byId("fact-change").dataset["move"] = newest.close >= newest.open ? "up" : "down";
  setText(byId("fact-high"), price(newest.high));
  setText(byId("fact-low"), price(newest.low));
  setText(byId("fact-volume"), volume(newest.baseVolume));
}

function renderLegend(): void {
  const kline = hovered ?? store.newest;
  ui.legend.hidden = kline === undefined;
  if (kline === undefined) return;
  const previous = store.all[store.indexOf(kline.openTime) - 1];
  ui.legend.dataset["move"] = kline.close >= kline.open ? "up" : "down";
  setText(ui.legendTime, dateTime(kline.openTime, intervalSeconds(interval)));
  setText(legendFields["open"]!, fine(kline.open));
  setText(legendFields["high"]!, fine(kline.high));
  setText(legendFields["low"]!, fine(kline.low));
  setText(legendFields["close"]!, fine(kline.close));
  setText(legendFields["change"]!, change(previous?.close ?? kline.open, kline.close));
  setText(legendFields["volume"]!, volume(kline.baseVolume));
  setText(legendFields["flags"]!, kline.revision > 0 ? `corrected ×${kline.revision}` : kline.isFinal ? "" : "forming");
}

function renderState(): void {
  const { status } = session;
  // The kind makes a difference to these words only.
  const kind = linkState === "connected" && (status?.state === "live" || status?.state === "closed") ? kinds.of(status.source) : undefined;
  const words = feedWords(linkState, status, kind);
  setText(ui.stateWord, words.word);
  ui.state.dataset["tone"] = words.tone;
  const since = status?.since;
  ui.state.title = words.explanation + (linkState === "connected" && since !== undefined ? `, since ${dateTime(since, 1)} UTC` : "") + (linkReason && linkState !== "connected" ? ` (${linkReason})` : "");
  setText(ui.feed, eventTime === undefined ? "" : `Last update ${timeOfDay(eventTime)}`);
}

function renderNotice(): void {
  let title = "";
  let text = "";
  let action = "";
  if (linkState === "refused") {
    [title, text] = accessKey === ""
      ? ["This server asks for a key", "Enter a key or a token. It is kept until this tab is closed."]
      : ["The key is not accepted", "The server does not know this key or token, or it has expired. Enter another one."];
  } else if (linkState === "disconnected") {
    [title, text, action] = ["Disconnected by the server", linkReason ?? "The server closed the connection.", "Connect again"];
  } else if (failure !== null) {
    [title, text, action] = ["This symbol cannot be followed", failure, "Try again"];
  } else if (store.newest === undefined) {
    if (linkState === "reconnecting") [title, text] = ["Server not reachable", "Trying again"];
    else if (linkState === "connecting") title = "Connecting";
    else if (session.symbol === undefined) [title, text] = ["Waiting for the first symbol", "The server knows none yet."];
    else if (opened) [title, text] = ["No trades yet", "The chart begins with the first one."];
    else title = "Loading klines";
  }

  ui.notice.hidden = title === "";
  ui.notice.classList.toggle("over", store.newest !== undefined);
  ui.notice.classList.toggle("busy", action === "" && !opened && linkState !== "refused");
  if (ui.access.hidden !== (linkState !== "refused")) {
    ui.access.hidden = linkState !== "refused";
    if (!ui.access.hidden) ui.accessKey.focus();
  }

  setText(ui.noticeTitle, title);
  setText(ui.noticeText, text);
  setText(ui.noticeAction, action);
  ui.noticeAction.hidden = action === "";
}

function applyTheme(): void {
  chart.restyle();
  ui.theme.setAttribute("aria-label", `Switch to the ${currentTheme() === "dark" ? "light" : "dark"} theme`);
  document.querySelector('meta[name="theme-color"]')?.setAttribute("content", cssColor("--page"));
  renderIntervals();
}

function renderIntervals(): void {
  for (const button of ui.intervals.querySelectorAll("button")) {
    const pressed = button.dataset["interval"] === interval;
    if ((button.getAttribute("aria-pressed") === "true") !== pressed) {
      button.setAttribute("aria-pressed", String(pressed));
      if (pressed) button.scrollIntoView({ block: "nearest", inline: "center" });
    }
  }
}

function showInterval(next: Interval): void {
  if (session.symbol !== undefined) go(session.symbol, next, "push");
  else interval = next;
  renderIntervals();
}

for (const each of INTERVALS) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset["interval"] = each;
  button.setAttribute("aria-pressed", "false");
  button.textContent = each;
  button.addEventListener("click", () => showInterval(each));
  ui.intervals.append(button);
}

ui.theme.addEventListener("click", () => {
  toggleTheme();
  applyTheme();
});
onSystemTheme(applyTheme);
ui.latest.addEventListener("click", () => chart.scrollToNewest());
ui.noticeAction.addEventListener("click", () => {
  if (linkState === "disconnected") link.start();
  else session.retry();
});
ui.access.addEventListener("submit", (event) => {
  event.preventDefault();
  accessKey = ui.accessKey.value.trim();
  ui.accessKey.value = "";
  writeAccessKey("");
  link.start();
});
ui.mint.addEventListener("click", () => {
  void navigator.clipboard?.writeText(session.symbol ?? "").then(() => {
    ui.mint.dataset["copied"] = "";
    ui.mint.textContent = "Copied";
    setTimeout(() => {
      delete ui.mint.dataset["copied"];
      schedule();
    }, 1_200);
  }, () => {});
});

window.addEventListener("popstate", () => {
  const place = readPlace(location.search);
  if (place.symbol !== undefined) go(place.symbol, place.interval, "keep");
  renderIntervals();
});

ui.chart.addEventListener("keydown", (event) => {
  switch (event.key) {
    case "ArrowLeft": chart.scrollBy(event.shiftKey ? -50 : -5); break;
    case "ArrowRight": chart.scrollBy(event.shiftKey ? 50 : 5); break;
    case "+": case "=": chart.zoom(1.25); break;
    case "-": chart.zoom(0.8); break;
    case "End": chart.scrollToNewest(); break;
    default: return;
  }

  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
  const index = INTERVALS.indexOf(interval);
  switch (event.key) {
    case "/": search.focus(); break;
    case "[": showInterval(INTERVALS[Math.max(0, index - 1)]!); break;
    case "]": showInterval(INTERVALS[Math.min(INTERVALS.length - 1, index + 1)]!); break;
    case "t": case "T": ui.theme.click(); break;
    default: return;
  }

  event.preventDefault();
});

// A page in the background may have been cut off for being slow. Whoever comes back to it wants it live.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && linkState === "disconnected") link.start();
});

// What goes on by the clock, also in a background tab, where no frames are drawn.
let seen = 0;
let rate = 0;
setInterval(() => {
  rate = rate * 0.7 + (updates - seen) * 0.3;
  seen = updates;
  setText(ui.rate, linkState === "connected" && eventTime !== undefined ? `${rate.toFixed(1)} updates/s` : "");
  setText(ui.clock, `${timeOfDay(Date.now())} UTC`);
  const { symbol } = session;
  const newest = store.newest;
  const name = symbol === undefined ? undefined : names.get(symbol)?.name || shortMint(symbol);
  const title = name === undefined ? "KlineOrleans" : `${newest === undefined ? "" : `${price(newest.close)} · `}${name} ${interval} · KlineOrleans`;
  if (document.title !== title) document.title = title;
  if (linkState === "connected" && performance.now() - dayAsked > DAY_REFRESH) void refreshDay();
}, 1_000);

declare global {
  interface Window {
    /** Read-only view of what the page shows, for tests and for a curious person at the console. */
    readonly __kline: {
      readonly symbol: string | undefined;
      readonly interval: Interval;
      readonly state: { link: LinkState; feed: FeedState | undefined; simulated: boolean | undefined; epoch: number | string | undefined; seq: number | undefined; historyComplete: boolean; updates: number };
      klines(): Kline[];
    };
  }
}

Object.defineProperty(window, "__kline", {
  value: Object.freeze({
    get symbol() { return session.symbol; },
    get interval() { return interval; },
    get state() {
      return {
        link: linkState, feed: session.status?.state, simulated: session.status?.simulated, epoch: session.position?.epoch, seq: session.position?.seq,
        historyComplete: session.historyComplete, updates,
      };
    },
    klines: () => store.all.map((kline) => ({ ...kline })),
  }),
});

applyTheme();
schedule();
link.start();

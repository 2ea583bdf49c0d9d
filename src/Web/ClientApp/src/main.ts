import { INTERVALS, intervalSeconds, type FeedState, type Interval, type Kline, type LinkState, type SymbolInfo } from "@kline-orleans/client";
import { signalr } from "@kline-orleans/client/signalr";
import { readAccessKey, writeAccessKey } from "./data/accessKey";
import { SourceKinds } from "./data/sourceKinds";
import { MOST_CHARTS, readPlaces, writePlaces } from "./view/address";
import type { Drawn } from "./view/chartView";
import { feedWords } from "./view/feedWords";
import { change, dateTime, exact, price, shortMint, timeOfDay, volume } from "./view/format";
import { Panel, setText } from "./view/panel";
import { SymbolSearch } from "./view/symbolSearch";
import { currentTheme, cssColor, onSystemTheme, toggleTheme } from "./view/theme";

const DAY = 86_400_000;
const DAY_REFRESH = 60_000;

const byId = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;

const ui = {
  name: byId("symbol-name"), mint: byId<HTMLButtonElement>("mint"), simulated: byId("simulated"), source: byId("source"),
  price: byId("price"), change: byId("change"), facts: byId("facts"), state: byId("state"), stateWord: byId("state-word"), charts: byId("charts"),
  intervals: byId("intervals"), add: byId<HTMLButtonElement>("add-chart"), feed: byId("foot-feed"), rate: byId("foot-rate"), clock: byId("foot-clock"), theme: byId<HTMLButtonElement>("theme"),
};

let linkState: LinkState = "connecting";
let linkReason: string | undefined;
let frame = 0;
let lastPrice: number | undefined;
let dayBase: { symbol: string; close: number } | undefined;
let dayAsked = 0;
let drewCandle = false;
const names = new Map<string, SymbolInfo>();

// All drawing happens here, once per animation frame at most.
function schedule(): void {
  if (frame === 0) frame = requestAnimationFrame(render);
}

const kinds = new SourceKinds(new URL("health/live", document.baseURI).href, schedule);
let accessKey = readAccessKey();
const client = signalr(new URL(".", document.baseURI).href, { token: () => accessKey });
client.onState((state, reason) => {
  linkState = state;
  linkReason = reason;
  if (state === "connected") {
    writeAccessKey(accessKey);
    if (panels.some((panel) => panel.symbol === undefined)) void openFirst();
    void learnNames();
  }

  schedule();
});

const panels: Panel[] = [];
/** The panel that the head of the page, the search and the intervals are about. */
let focused = addPanel();
const search = new SymbolSearch(byId("search"), {
  async find(query, limit) {
    const found = await client.symbols(query, limit);
    for (const info of found) names.set(info.symbol, info);
    return found;
  },
  price: async (symbol) => (await client.history({ symbol, interval: "s1", limit: 1 })).at(-1)?.close,
  chosen: (info) => go(focused, info.symbol, focused.interval, "push"),
});

function addPanel(interval: Interval = readPlaces(location.search)[0]!.interval): Panel {
  const panel: Panel = new Panel(client, ui.charts, interval, {
    changed: schedule,
    focused: focus,
    closed: closePanel,
    opened(opened) {
      if (opened === focused) void refreshDay();
    },
    name: nameOf,
    connect: () => client.start(),
    hasKey: () => accessKey !== "",
    keyGiven(key) {
      accessKey = key;
      writeAccessKey("");
      client.start();
    },
  });
  panels.push(panel);
  panelsChanged();
  return panel;
}

function panelsChanged(): void {
  ui.charts.dataset["count"] = String(panels.length);
  ui.add.disabled = panels.length >= MOST_CHARTS;
  for (const panel of panels) panel.element.toggleAttribute("data-focused", panels.length === 1 || panel === focused);
}

function focus(panel: Panel): void {
  if (panel === focused || !panels.includes(panel)) return;
  focused = panel;
  lastPrice = undefined;
  dayBase = undefined;
  if (panel.symbol !== undefined) search.setCurrent(panel.symbol);
  panelsChanged();
  renderIntervals();
  void refreshDay();
  schedule();
}

function closePanel(panel: Panel): void {
  if (panels.length === 1) return;
  panels.splice(panels.indexOf(panel), 1);
  panel.remove();
  if (panel === focused) focus(panels[0]!);
  panelsChanged();
  window.history.pushState(null, "", writePlaces(panels));
  schedule();
}

/** Another chart: the same symbol at the next longer interval, which is what one looks at beside the first. */
function addChart(): void {
  if (panels.length >= MOST_CHARTS || focused.symbol === undefined) return;
  const next = INTERVALS[Math.min(INTERVALS.length - 1, INTERVALS.indexOf(focused.interval) + 1)]!;
  const { symbol } = focused;
  const panel = addPanel(next);
  focus(panel);
  go(panel, symbol, next, "push");
}

/** Opens what the address names; where it names no symbol, the first one that has klines. */
async function openFirst(): Promise<void> {
  const empty = panels.filter((panel) => panel.symbol === undefined);
  try {
    const found = await client.symbols("", 12);
    for (const info of found) names.set(info.symbol, info);
    let first = found[0];
    for (const info of found) {
      const klines = await client.history({ symbol: info.symbol, interval: focused.interval, limit: 1 });
      if (klines.some((kline) => kline.trades > 0)) {
        first = info;
        break;
      }
    }

    if (first !== undefined) {
      for (const panel of empty) if (panel.symbol === undefined) go(panel, first.symbol, panel.interval, "replace");
      return;
    }
  } catch {
    // Asked again below, or when the connection is back.
  }

  // No symbol yet: a fresh server may see its first one any moment.
  setTimeout(() => {
    if (panels.some((panel) => panel.symbol === undefined) && client.connected) void openFirst();
  }, 2_000);
}

/** Shows a symbol and interval; `history` says what becomes of the page's address. */
function go(panel: Panel, symbol: string, interval: Interval, history: "push" | "replace" | "keep"): void {
  if (panel === focused && symbol !== panel.symbol) {
    lastPrice = undefined;
    dayBase = undefined;
  }

  panel.open(symbol, interval);
  if (panel === focused) search.setCurrent(symbol);
  renderIntervals();
  const address = writePlaces(panels);
  if (history === "push" && location.search !== address) window.history.pushState(null, "", address);
  else if (history === "replace") window.history.replaceState(null, "", address);
  void learnNames();
  schedule();
}

/** Makes the charts those that the page's address names. */
function readAddress(): void {
  const places = readPlaces(location.search);
  while (panels.length > places.length) {
    const last = panels.pop()!;
    last.remove();
    if (last === focused) focused = panels[0]!;
  }

  while (panels.length < places.length) addPanel(places[panels.length]!.interval);
  panelsChanged();
  places.forEach(({ symbol, interval }, index) => {
    if (symbol !== undefined) go(panels[index]!, symbol, interval, "keep");
  });
  renderIntervals();
}

function nameOf(symbol: string): string | undefined {
  const name = names.get(symbol)?.name;
  return name != null && name !== "" && name !== symbol ? name : undefined;
}

async function learnNames(): Promise<void> {
  for (const { symbol } of panels) {
    if (symbol === undefined || names.has(symbol) || !client.connected) continue;
    try {
      for (const info of await client.symbols(symbol, 5)) names.set(info.symbol, info);
      schedule();
    } catch {
      // The mint itself stands for its name.
    }
  }
}

/** Learns the close a day before the newest kline, for the change of the day. */
async function refreshDay(): Promise<void> {
  const { symbol, store, eventTime } = focused;
  const newest = store.newest;
  if (symbol === undefined || newest === undefined || !client.connected) return;
  dayAsked = performance.now();
  try {
    const close = await focused.session.closeBefore(symbol, (eventTime ?? newest.endTime) - DAY);
    if (symbol !== focused.symbol) return;
    dayBase = close === undefined ? undefined : { symbol, close };
    schedule();
  } catch {
    // Asked again in a minute.
  }
}

function render(): void {
  frame = 0;
  for (const panel of panels) panel.draw(linkState, linkReason);
  if (!drewCandle && panels.some((panel) => panel.store.newest !== undefined)) {
    drewCandle = true;
    performance.mark("first candle");
  }

  renderHead();
  renderState();
  // Changes of the sessions themselves, such as trimming, may have asked for another frame: it is this one.
  cancelAnimationFrame(frame);
  frame = 0;
}

function renderHead(): void {
  const { symbol, session, store } = focused;
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

function renderState(): void {
  const { session: { status }, eventTime } = focused;
  // The kind makes a difference to these words only.
  const kind = linkState === "connected" && (status?.state === "live" || status?.state === "closed") ? kinds.of(status.source) : undefined;
  const words = feedWords(linkState, status, kind);
  setText(ui.stateWord, words.word);
  ui.state.dataset["tone"] = words.tone;
  const since = status?.since;
  ui.state.title = words.explanation + (linkState === "connected" && since !== undefined ? `, since ${dateTime(since, 1)} UTC` : "") + (linkReason && linkState !== "connected" ? ` (${linkReason})` : "");
  setText(ui.feed, eventTime === undefined ? "" : `Last update ${timeOfDay(eventTime)}`);
}

function applyTheme(): void {
  for (const panel of panels) panel.chart.restyle();
  ui.theme.setAttribute("aria-label", `Switch to the ${currentTheme() === "dark" ? "light" : "dark"} theme`);
  document.querySelector('meta[name="theme-color"]')?.setAttribute("content", cssColor("--page"));
  renderIntervals();
}

function renderIntervals(): void {
  for (const button of ui.intervals.querySelectorAll("button")) {
    const pressed = button.dataset["interval"] === focused.interval;
    if ((button.getAttribute("aria-pressed") === "true") !== pressed) {
      button.setAttribute("aria-pressed", String(pressed));
      if (pressed) button.scrollIntoView({ block: "nearest", inline: "center" });
    }
  }
}

function showInterval(next: Interval): void {
  if (focused.symbol !== undefined) go(focused, focused.symbol, next, "push");
  else focused.interval = next;
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
ui.add.addEventListener("click", addChart);
ui.mint.addEventListener("click", () => {
  void navigator.clipboard?.writeText(focused.symbol ?? "").then(() => {
    ui.mint.dataset["copied"] = "";
    ui.mint.textContent = "Copied";
    setTimeout(() => {
      delete ui.mint.dataset["copied"];
      schedule();
    }, 1_200);
  }, () => {});
});

window.addEventListener("popstate", readAddress);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
  const index = INTERVALS.indexOf(focused.interval);
  switch (event.key) {
    case "/": search.focus(); break;
    case "[": showInterval(INTERVALS[Math.max(0, index - 1)]!); break;
    case "]": showInterval(INTERVALS[Math.min(INTERVALS.length - 1, index + 1)]!); break;
    case "a": case "A": addChart(); break;
    case "t": case "T": ui.theme.click(); break;
    default: return;
  }

  event.preventDefault();
});

// A page in the background may have been cut off for being slow. Whoever comes back to it wants it live.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && linkState === "disconnected") client.start();
});

// What goes on by the clock, also in a background tab, where no frames are drawn.
let seen = 0;
let rate = 0;
setInterval(() => {
  const { symbol, interval, store, eventTime } = focused;
  const updates = panels.reduce((sum, panel) => sum + panel.updates, 0);
  rate = rate * 0.7 + Math.max(0, updates - seen) * 0.3;
  seen = updates;
  setText(ui.rate, linkState === "connected" && eventTime !== undefined ? `${rate.toFixed(1)} updates/s` : "");
  setText(ui.clock, `${timeOfDay(Date.now())} UTC`);
  const newest = store.newest;
  const name = symbol === undefined ? undefined : nameOf(symbol) ?? shortMint(symbol);
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
      readonly charts: { symbol: string | undefined; interval: Interval; historyComplete: boolean; klines: Kline[]; drawn: Drawn[] }[];
      klines(): Kline[];
    };
  }
}

Object.defineProperty(window, "__kline", {
  value: Object.freeze({
    get symbol() { return focused.symbol; },
    get interval() { return focused.interval; },
    get charts() { return panels.map(({ symbol, interval, session, store, chart }) => ({ symbol, interval, historyComplete: session.historyComplete, klines: store.all.map((kline) => ({ ...kline })), drawn: chart.drawn })); },
    get state() {
      const { status, position, historyComplete } = focused.session;
      return { link: linkState, feed: status?.state, simulated: status?.simulated, epoch: position?.epoch, seq: position?.seq, historyComplete, updates: focused.updates };
    },
    klines: () => focused.store.all.map((kline) => ({ ...kline })),
  }),
});

applyTheme();
readAddress();
schedule();
client.start();

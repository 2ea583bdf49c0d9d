import { parseMetrics } from "./data/prometheus";
import { Plot } from "./view/plot";

// One question a second, whose answer operators' tools can read, too: /api/v1/status. The list of all metrics is asked for only while it is open.

const PERIOD = 1_000;
const KEPT = 300;

interface Source {
  name: string;
  kind: string;
  simulated: boolean;
  state: string;
  clock?: number;
  trades?: number;
  skipped?: number;
  skippedByReason?: Record<string, number>;
  duplicates?: number;
  late?: number;
  mints?: number;
  progress?: number;
  error?: string | null;
  details?: Record<string, string>;
}

interface Health {
  status: string;
  uptime: number;
  version: string;
  engine: string;
  memory_usage: number;
  sources: Source[];
  problems?: string[];
}

interface Web {
  active_connections: number;
  total_subscriptions: number;
  monitored_mints: number;
  connections_by_wire: Record<string, number>;
  top_mints: { mint: string; clients: number }[];
  sessions_ended: Record<string, number>;
  latency_ms: Record<string, number>;
  closed_as_slow: number;
  messages: { sent: number; sent_bytes: number; conflated: number; failed: number };
}

/** What the server answers. Counts go up from the start of its process. */
interface Answer {
  /** By the server's clock, in Unix milliseconds. */
  time: number;
  health: Health;
  web: Web;
  grains: Record<"active" | "tradesApplied" | "tradesDuplicate" | "tradesLate" | "updates" | "saves" | "savesFailed" | "klinesArchived" | "klinesUnarchived", number>;
  storage: Partial<Record<"fileBytes" | "queueLength" | "rowsWritten" | "commits" | "writesFailed", number>>;
  process: Record<"processorSeconds" | "memoryBytes" | "managedBytes", number>;
}

/** What was read in one round, and when. */
interface Reading extends Answer {
  at: number;
}

const byId = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const integer = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });
const count = (value: number | undefined): string => (value === undefined ? "—" : integer.format(value));
const rate = (value: number | undefined): string => (value === undefined ? "—" : value < 100 ? short.format(value) : integer.format(value));
const bytes = (value: number | undefined): string => {
  if (value === undefined) return "—";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, value)) / 10));
  return `${short.format(value / 1024 ** power)} ${units[power]}`;
};
const milliseconds = (value: number | undefined): string => (value === undefined ? "—" : `${short.format(value)} ms`);
const span = (seconds: number): string => {
  const [d, h, m] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60];
  return d > 0 ? `${d} d ${h} h` : h > 0 ? `${h} h ${m} min` : m > 0 ? `${m} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
};

interface Tile {
  label: string;
  /** The figure; `before` is the reading a moment ago, for rates. */
  value(now: Reading, before: Reading): number | undefined;
  show(value: number | undefined): string;
}

const perSecond = (counter: (reading: Reading) => number | undefined) => (now: Reading, before: Reading): number | undefined => {
  const [a, b] = [counter(before), counter(now)];
  // A counter that fell was begun anew: the server restarted.
  return a === undefined || b === undefined || now.at <= before.at ? undefined : (Math.max(0, b - a) / (now.at - before.at)) * 1_000;
};
const TILES: Tile[] = [
  { label: "Connections", value: ({ web }) => web.active_connections, show: count },
  { label: "Subscriptions", value: ({ web }) => web.total_subscriptions, show: count },
  { label: "Mints followed", value: ({ web }) => web.monitored_mints, show: count },
  { label: "Grains active", value: ({ grains }) => grains.active, show: count },
  { label: "Trades/s into grains", value: perSecond(({ grains }) => grains.tradesApplied), show: rate },
  { label: "Updates/s of followed mints", value: perSecond(({ grains }) => grains.updates), show: rate },
  { label: "Messages/s to clients", value: perSecond(({ web }) => web.messages.sent), show: rate },
  { label: "Bytes/s to clients", value: perSecond(({ web }) => web.messages.sent_bytes), show: bytes },
  { label: "Conflated/s", value: perSecond(({ web }) => web.messages.conflated), show: rate },
  { label: "Closed as slow", value: ({ web }) => web.closed_as_slow, show: count },
  { label: "Update to client, p50", value: ({ web }) => web.latency_ms["p50"], show: milliseconds },
  { label: "Update to client, p99", value: ({ web }) => web.latency_ms["p99"], show: milliseconds },
  { label: "Update to client, p99.9", value: ({ web }) => web.latency_ms["p999"], show: milliseconds },
  { label: "Store", value: ({ storage }) => storage.fileBytes, show: bytes },
  { label: "Rows stored/s", value: perSecond(({ storage }) => storage.rowsWritten), show: rate },
  { label: "Final klines not stored yet", value: ({ grains }) => grains.klinesUnarchived, show: count },
  { label: "Processor, cores", value: perSecond(({ process }) => process.processorSeconds), show: rate },
  { label: "Memory", value: ({ process }) => process.memoryBytes, show: bytes },
];

const tiles = TILES.map((tile) => {
  const element = document.createElement("div");
  element.className = "tile";
  const plot = new Plot(KEPT);
  const value = document.createElement("b");
  const label = document.createElement("span");
  label.textContent = tile.label;
  element.append(label, value, plot.element);
  byId("tiles").append(element);
  return { ...tile, element: value, plot };
});

const STATES: Record<string, string> = { live: "good", ended: "good", replaying: "busy", backfilling: "busy", starting: "busy", stale: "warn", closed: "warn", failed: "bad" };

/** Details of a source that have a column of their own. */
const SHOWN = new Set(["slot", "lagSlots", "gaps", "lastRepair"]);

let before: Reading | undefined;

async function ask(path: string): Promise<Response> {
  const response = await fetch(new URL(path, document.baseURI), { cache: "no-store" });
  if (!response.ok) throw new Error(`/${path} answers ${response.status}`);
  return response;
}

async function round(): Promise<void> {
  try {
    const now: Reading = { ...await (await ask("api/v1/status")).json() as Answer, at: performance.now() };
    show(now, before ?? now);
    before = now;
    if ((document.querySelector("details") as HTMLDetailsElement).open) showMetrics(await (await ask("metrics")).text());
  } catch (error) {
    setState("No answer", "bad", [error instanceof Error ? error.message : String(error)]);
  }
}

function show(now: Reading, last: Reading): void {
  const { health, web } = now;
  setState(health.status === "ok" ? "All well" : health.status === "degraded" ? "Degraded" : "Not ready", health.status === "ok" ? "good" : health.status === "degraded" ? "warn" : "bad", health.problems ?? []);
  byId("about").textContent = `${health.version} on ${health.engine}, up ${span(health.uptime)}`;
  if (now !== last) {
    for (const { element, plot, value, show: words } of tiles) {
      const figure = value(now, last);
      element.textContent = words(figure);
      plot.add(figure ?? 0);
    }
  }

  rows("sources", health.sources.map((source) => {
    const earlier = last.health.sources.find(({ name }) => name === source.name);
    const seconds = (now.at - last.at) / 1_000;
    const trades = earlier?.trades === undefined || source.trades === undefined || seconds <= 0 ? undefined : Math.max(0, source.trades - earlier.trades) / seconds;
    const more = [
      source.simulated ? "simulated" : "",
      source.progress === undefined ? "" : `${Math.floor(source.progress * 100)} % read`,
      ...Object.entries(source.details ?? {}).filter(([name]) => !SHOWN.has(name)).map(([name, value]) => `${name} ${value}`),
      ...Object.entries(source.skippedByReason ?? {}).filter(([, value]) => value > 0).map(([name, value]) => `${name}: ${count(value)}`),
      source.error ?? "",
    ].filter((text) => text !== "").join(" · ");
    // A recording's clock is the past it plays, and says nothing of lag. Both clocks are the server's.
    const behind = source.clock === undefined || source.clock <= 0 || source.kind === "Replay" ? "—" : span(Math.max(0, (now.time - source.clock) / 1_000));
    const slots = source.details?.["lagSlots"];
    const lag = slots === undefined ? behind : `${behind}, ${slots} slots to verify`;
    const gaps = source.details?.["gaps"] ?? (source.details?.["slot"] === undefined ? "—" : "0");
    return [source.name + (source.name.toLowerCase() === source.kind.toLowerCase() ? "" : ` (${source.kind})`), [source.state, STATES[source.state] ?? ""], source.details?.["slot"] ?? "—", lag, [gaps, gaps === "0" || gaps === "—" ? "" : "warn"], source.details?.["lastRepair"] ?? "—", count(source.trades), rate(trades), count(source.skipped), count(source.duplicates), count(source.late), count(source.mints), [more, "words"]];
  }));
  rows("wires", Object.entries(web.connections_by_wire).map(([wire, connections]) => [wire, count(connections)]), "No client is connected.");
  rows("ended", Object.entries(web.sessions_ended).filter(([, value]) => value > 0).map(([reason, value]) => [reason.replaceAll("_", " "), count(value)]), "None so far.");
  rows("top", web.top_mints.map(({ mint, clients }) => [mint, count(clients)]), "Nobody follows any.");
  const { storage, grains } = now;
  rows("storage", [
    ["Size", bytes(storage.fileBytes)], ["Writes that wait", count(storage.queueLength)], ["Rows written", count(storage.rowsWritten)], ["Commits", count(storage.commits)],
    ["Writes refused", [count(storage.writesFailed), storage.writesFailed ? "warn" : ""]], ["Grains' saves", count(grains.saves)], ["Saves that failed", [count(grains.savesFailed), grains.savesFailed > 0 ? "warn" : ""]],
    ["Klines archived", count(grains.klinesArchived)],
  ]);
}

function showMetrics(text: string): void {
  rows("metrics", parseMetrics(text).filter(({ name }) => !name.endsWith("_bucket")).map(({ name, labels, value }) => [name, [Object.entries(labels).map(([key, label]) => `${key}=${label}`).join(", "), "words"], short.format(value)]));
}

function setState(word: string, tone: string, problems: readonly string[]): void {
  byId("state-word").textContent = word;
  byId("state").dataset["tone"] = tone;
  const list = byId("problems");
  list.hidden = problems.length === 0;
  list.replaceChildren(...problems.map((problem) => Object.assign(document.createElement("li"), { textContent: problem })));
}

/** Fills a table; a cell is its text, or text and class. */
function rows(id: string, lines: readonly (readonly (string | readonly [string, string])[])[], nothing = ""): void {
  const body = document.querySelector(`#${id} tbody`)!;
  if (lines.length === 0 && nothing !== "") lines = [[[nothing, "words"]]];
  body.replaceChildren(...lines.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((cell) => {
      const [text, className] = typeof cell === "string" ? [cell, ""] : cell;
      return Object.assign(document.createElement("td"), { textContent: text, className });
    }));
    return row;
  }));
}

// One round after another, never two at once: a slow answer must not pile up questions.
async function run(): Promise<never> {
  for (;;) {
    if (document.visibilityState === "visible") await round();
    await new Promise((resolve) => setTimeout(resolve, PERIOD));
  }
}

void run();

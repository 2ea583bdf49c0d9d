import { parseMetrics, sum, type Sample } from "./data/prometheus";
import { Plot } from "./view/plot";

// Everything comes from the routes that operators' tools read, too: /health, /api/ws/metrics and /metrics.

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
  details?: Record<string, unknown>;
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
  connections_by_wire?: Record<string, number>;
  sessions_ended: Record<string, number>;
  latency_ms: Record<string, number>;
  closed_as_slow: number;
  messages: { sent: number; sent_bytes: number; conflated: number; failed: number };
  [more: string]: unknown;
}

/** What was read in one round. */
interface Reading {
  time: number;
  health: Health;
  web: Web;
  metrics: Sample[];
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

const perSecond = (name: string, where?: Record<string, string>) => (now: Reading, before: Reading): number | undefined => {
  const [a, b] = [sum(before.metrics, name, where), sum(now.metrics, name, where)];
  // A counter that fell was begun anew: the server restarted.
  return a === undefined || b === undefined ? undefined : (Math.max(0, b - a) / (now.time - before.time)) * 1_000;
};
const TILES: Tile[] = [
  { label: "Connections", value: ({ web }) => web.active_connections, show: count },
  { label: "Subscriptions", value: ({ web }) => web.total_subscriptions, show: count },
  { label: "Mints followed", value: ({ metrics }) => sum(metrics, "kline_web_mints"), show: count },
  { label: "Grains active", value: ({ metrics }) => sum(metrics, "kline_grains_active"), show: count },
  { label: "Trades/s into grains", value: perSecond("kline_trades_total", { result: "applied" }), show: rate },
  { label: "Messages/s to clients", value: perSecond("kline_web_messages_sent_total"), show: rate },
  { label: "Bytes/s to clients", value: perSecond("kline_web_sent_bytes_total"), show: bytes },
  { label: "Conflated/s", value: perSecond("kline_web_messages_conflated_total"), show: rate },
  { label: "Closed as slow", value: ({ web }) => web.closed_as_slow, show: count },
  { label: "Update to client, p50", value: ({ web }) => web.latency_ms["p50"], show: milliseconds },
  { label: "Update to client, p99", value: ({ web }) => web.latency_ms["p99"], show: milliseconds },
  { label: "Klines archived/s", value: perSecond("kline_klines_archived_total"), show: rate },
  { label: "Grain saves/s", value: perSecond("kline_grain_saves_total"), show: rate },
  { label: "Processor, cores", value: perSecond("process_cpu_seconds_total"), show: rate },
  { label: "Memory", value: ({ health }) => health.memory_usage, show: bytes },
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

let before: Reading | undefined;

async function read(): Promise<Reading> {
  const ask = async (path: string): Promise<Response> => {
    const response = await fetch(new URL(path, document.baseURI), { cache: "no-store" });
    // Health answers 503 with its reasons; the others have nothing to say then.
    if (!response.ok && !(path === "health" && response.status === 503)) throw new Error(`/${path} answers ${response.status}`);
    return response;
  };
  const [health, web, metrics] = await Promise.all([ask("health"), ask("api/ws/metrics"), ask("metrics")]);
  return { time: performance.now(), health: await health.json() as Health, web: (await web.json() as { data: Web }).data, metrics: parseMetrics(await metrics.text()) };
}

async function round(): Promise<void> {
  try {
    const now = await read();
    show(now, before ?? now);
    before = now;
  } catch (error) {
    setState("No answer", "bad", [error instanceof Error ? error.message : String(error)]);
  }
}

function show(now: Reading, last: Reading): void {
  const { health, web, metrics } = now;
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
    const seconds = (now.time - last.time) / 1_000;
    const trades = earlier?.trades === undefined || source.trades === undefined || seconds <= 0 ? undefined : Math.max(0, source.trades - earlier.trades) / seconds;
    const more = [
      source.simulated ? "simulated" : "",
      source.progress === undefined ? "" : `${Math.floor(source.progress * 100)} % read`,
      ...Object.entries(source.details ?? {}).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`),
      ...Object.entries(source.skippedByReason ?? {}).filter(([, value]) => value > 0).map(([name, value]) => `${name}: ${count(value)}`),
      source.error ?? "",
    ].filter((text) => text !== "").join(" · ");
    // A recording's clock is the past it plays, and says nothing of lag.
    const behind = source.clock === undefined || source.clock <= 0 || source.kind === "Replay" ? "—" : span(Math.max(0, (Date.now() - source.clock) / 1_000));
    return [source.name + (source.name.toLowerCase() === source.kind.toLowerCase() ? "" : ` (${source.kind})`), [source.state, STATES[source.state] ?? ""], behind, count(source.trades), rate(trades), count(source.skipped), count(source.duplicates), count(source.late), count(source.mints), [more, "words"]];
  }));
  rows("wires", Object.entries(web.connections_by_wire ?? {}).map(([wire, connections]) => [wire, count(connections)]), "No client is connected.");
  rows("ended", Object.entries(web.sessions_ended).filter(([, value]) => value > 0).map(([reason, value]) => [reason.replaceAll("_", " "), count(value)]), "None so far.");
  const top = (web["top_mints"] ?? []) as { mint?: string; symbol?: string; clients?: number; subscribers?: number }[];
  rows("top", top.map((mint) => [mint.symbol ?? mint.mint ?? "", count(mint.clients ?? mint.subscribers)]), "Nobody follows any.");
  if ((document.querySelector("details") as HTMLDetailsElement).open) {
    rows("metrics", metrics.filter(({ name }) => !name.endsWith("_bucket")).map(({ name, labels, value }) => [name, [Object.entries(labels).map(([key, text]) => `${key}=${text}`).join(", "), "words"], short.format(value)]));
  }
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

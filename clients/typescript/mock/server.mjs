// A stand-in for the server, for work on the page and for its tests: the hub /hubs/kline in SignalR's JSON protocol over WebSockets with a made-up
// market behind it, and the built page. It keeps the contract's shapes, not the server's durability, limits or access rules.
//   node mock/server.mjs [--port 5099] [--speed 4]      speed: trades per second of each symbol

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { WebSocketServer } from "ws";
import { INTERVALS, MockMarket } from "./market.mjs";

const RECORD_END = "\u001e";
const ROOT = fileURLToPath(new URL("../../../src/Web/wwwroot/", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json" };
const POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'";

/** Starts the stand-in; `port` 0 takes a free one. With `speed` 0 the market moves only when `trade` or `correct` is called. */
export async function startMock({ port = 0, speed = 4, market = new MockMarket() } = {}) {
  const clients = new Set();
  const http = createServer((request, response) => void answer(request, response, market));
  const sockets = new WebSocketServer({ noServer: true });
  http.on("upgrade", (request, socket, head) => {
    if (!request.url.startsWith("/hubs/kline")) return socket.destroy();
    sockets.handleUpgrade(request, socket, head, (ws) => {
      const client = new Client(ws, market);
      clients.add(client);
      ws.on("close", () => clients.delete(client));
    });
  });
  await new Promise((resolve, reject) => http.once("error", reject).listen(port, "127.0.0.1", resolve));

  const publish = (update) => clients.forEach((client) => client.publish(update));
  const trade = (symbol) => publish(market.trade(symbol));
  const correct = (symbol) => publish(market.correct(symbol));
  const timer = speed > 0 && setInterval(() => {
    for (const symbol of market.symbols) {
      if (market.random() < 0.5) trade(symbol);
      if (market.random() < 0.02) correct(symbol);
    }
  }, 500 / speed);
  const pings = setInterval(() => clients.forEach((client) => client.send({ type: 6 })), 10_000);

  return {
    market, clients, trade, correct, publish,
    port: http.address().port,
    /** Breaks every connection, as a network does. */
    drop: () => clients.forEach((client) => client.ws.terminate()),
    /** Ends every connection as the server does; without `allowReconnect` the client must stay away. */
    close: (allowReconnect, error) => clients.forEach((client) => {
      client.send({ type: 7, allowReconnect, ...(error && { error }) });
      client.ws.close();
    }),
    status: (message) => clients.forEach((client) => client.status(message)),
    stop: async () => {
      clearInterval(timer);
      clearInterval(pings);
      clients.forEach((client) => client.ws.terminate());
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

class Client {
  followed = new Map();
  calls = [];
  #shaken = false;
  #rest = "";

  constructor(ws, market) {
    this.ws = ws;
    this.market = market;
    ws.on("message", (data) => {
      const records = (this.#rest + data).split(RECORD_END);
      this.#rest = records.pop();
      for (const record of records) this.#read(JSON.parse(record));
    });
  }

  send(message) {
    if (this.ws.readyState === this.ws.OPEN) this.ws.send(JSON.stringify(message) + RECORD_END);
  }

  publish(update) {
    const intervals = this.followed.get(update.symbol);
    const klines = intervals && update.klines.filter((kline) => intervals.has(kline.interval));
    if (klines) this.send({ type: 1, target: "kline", arguments: [{ ...update, klines }] });
  }

  status(message) {
    if (this.followed.has(message.symbol)) this.send({ type: 1, target: "status", arguments: [message] });
  }

  #read(message) {
    if (!this.#shaken) {
      this.#shaken = true;
      return this.send({});
    }

    if (message.type !== 1) return;
    this.calls.push(message);
    try {
      const result = this[message.target.toLowerCase()](...message.arguments);
      if (message.invocationId) this.send({ type: 3, invocationId: message.invocationId, ...(result !== undefined && { result }) });
    } catch (error) {
      this.send({ type: 3, invocationId: message.invocationId, error: `An unexpected error occurred invoking '${message.target}' on the server. HubException: ${error.message}` });
    }
  }

  subscribe({ symbol: id, intervals, limit = 100, resume }) {
    const symbol = this.#find(id, intervals);
    const followed = this.followed.get(id) ?? new Set();
    this.followed.set(id, followed);
    intervals.forEach((interval) => followed.add(interval));
    const answer = { symbol: id, epoch: this.market.epoch, seq: symbol.seq, simulated: true, source: symbol.source, state: "live" };
    const first = symbol.recent[0]?.seq ?? symbol.seq + 1;
    if (resume && resume.epoch === this.market.epoch && resume.seq <= symbol.seq && resume.seq + 1 >= first) {
      const missed = symbol.recent.filter((update) => update.seq > resume.seq).flatMap((update) => update.klines);
      return { ...answer, recovered: true, klines: Object.fromEntries(intervals.map((interval) => [interval, missed.filter((kline) => kline.interval === interval)])) };
    }

    return { ...answer, recovered: false, klines: Object.fromEntries(intervals.map((interval) => [interval, symbol.klines[interval].slice(-Math.min(limit, 1000))])) };
  }

  unsubscribe({ symbol, intervals }) {
    const followed = this.followed.get(symbol);
    intervals.forEach((interval) => followed?.delete(interval));
    if (followed?.size === 0) this.followed.delete(symbol);
  }

  history({ symbol: id, interval, limit = 100, before = Infinity }) {
    const symbol = this.#find(id, [interval]);
    return { symbol: id, interval, klines: symbol.klines[interval].filter((kline) => kline.openTime < before).slice(-Math.min(limit, 1000)) };
  }

  symbols(query, limit = 20) {
    return this.market.search(query, limit);
  }

  #find(id, intervals) {
    for (const interval of intervals) if (!(interval in INTERVALS)) throw new Error(`1001: Unknown interval '${interval}'; known are ${Object.keys(INTERVALS).join(", ")}`);
    const symbol = this.market.find(id);
    if (symbol === undefined) throw new Error(`1001: Unknown symbol '${id}'`);
    return symbol;
  }
}

async function answer(request, response, market) {
  const url = new URL(request.url, "http://mock");
  const json = (value) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
  if (url.pathname === "/hubs/kline/negotiate") {
    return json({ negotiateVersion: 1, connectionId: "mock", connectionToken: "mock", availableTransports: [{ transport: "WebSockets", transferFormats: ["Text", "Binary"] }] });
  }

  if (url.pathname === "/api/v1/symbols") return json(market.search(url.searchParams.get("query"), Number(url.searchParams.get("limit") ?? 20)));
  if (url.pathname === "/health" || url.pathname === "/health/live") return json({ status: "ok", engine: "Mock", sources: [{ name: "simulation", kind: "Simulation", state: "live" }] });
  const path = normalize(url.pathname === "/" ? "/index.html" : url.pathname);
  try {
    const body = await readFile(join(ROOT, path));
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream", "content-security-policy": POLICY }).end(body);
  } catch {
    response.writeHead(404).end();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { port: { type: "string", default: "5099" }, speed: { type: "string", default: "4" } } });
  const mock = await startMock({ port: Number(values.port), speed: Number(values.speed) });
  console.log(`Made-up market on http://127.0.0.1:${mock.port}/`);
}

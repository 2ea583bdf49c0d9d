// Clients written as the documents of the older designs and the public front-ends have them: node design.mjs URL. They know nothing of this server; what they show is checked.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { check, done, Inbox } from "./lib/check.mjs";

const [url] = process.argv.slice(2);
const symbol = (await (await fetch(`${url}/api/v1/symbols?limit=1`)).json()).symbols[0].symbol;
const CANDLE = ["time", "open", "high", "low", "close", "volume", "is_final", "update_type", "update_count"];

function fitsCandle(candle) {
  for (const key of CANDLE) assert.ok(key in candle, `${key} is missing in ${JSON.stringify(candle)}`);
  assert.ok(Number.isInteger(candle.time) && candle.time < 1e11, "time is in seconds");
  for (const key of ["open", "high", "low", "close", "volume"]) assert.equal(typeof candle[key], "number");
  assert.equal(candle.volume, 0);
  assert.ok(["realtime", "final", "correction"].includes(candle.update_type));
}

// The first design: main namespace, subscribe_kline and get_history, snake_case, a promise for each answer.
class FirstDesignClient {
  constructor() {
    this.socket = io(url, { transports: ["websocket", "polling"], timeout: 20000, forceNew: true });
    this.candles = new Map();
    this.socket.on("kline_data", (message) => {
      const id = message.subscription_id;
      if (!this.candles.has(id)) this.candles.set(id, []);
      this.candles.get(id).push(message);
    });
  }

  connected() {
    return new Promise((resolve, reject) => {
      this.socket.on("connection_success", resolve);
      this.socket.on("connect_error", reject);
    });
  }

  once(name) {
    return new Promise((resolve) => this.socket.once(name, resolve));
  }
}

// The third design: namespace /ws/kline, a greeting in camelCase; the rest as above.
async function thirdDesign() {
  const socket = io(`${url}/ws/kline`, { path: "/socket.io", transports: ["websocket"], forceNew: true });
  const inbox = new Inbox();
  socket.onAny((name, data) => inbox.push({ name, data }));
  const event = async (name) => (await inbox.take((e) => e.name === name)).data;
  const greeting = await event("connection_success");
  assert.equal(typeof greeting.clientId, "string");
  assert.ok(Number.isInteger(greeting.serverTime) && Array.isArray(greeting.supportedSymbols) && greeting.supportedIntervals.includes("s1"));
  assert.ok(!("client_id" in greeting));
  socket.emit("subscribe", { symbol, interval: "s1", subscription_id: "third" });
  (await event("history_data")).data.forEach(fitsCandle);
  assert.equal((await event("subscription_confirmed")).success, true);
  const update = await event("kline_data");
  assert.deepEqual([update.symbol, update.interval, update.subscription_id], [symbol, "s1", "third"]);
  socket.emit("subscribe_price", { symbol });
  assert.equal((await event("price_update")).symbol, symbol);
  socket.emit("subscribe_tokens", {});
  socket.emit("unsubscribe", { symbol, interval: "s1", subscription_id: "third" });
  assert.equal((await event("unsubscribe_confirmed")).subscription_id, "third");
  socket.disconnect();
}

// The public front-ends: namespace /kline, a component that subscribes with an id of its own and takes only what carries it.
function useKline({ interval, subscriptionId }, socket) {
  const state = { history: null, candles: [], confirmed: false };
  const listeners = {
    history_data: (message) => {
      if (message.symbol === symbol && message.interval === interval) state.history = message.data;
    },
    subscription_confirmed: (message) => {
      if (message.subscription_id === subscriptionId) state.confirmed = message.success;
    },
    kline_data: (message) => {
      if (message.subscription_id !== subscriptionId) return;
      assert.equal(message.symbol, symbol);
      assert.equal(message.interval, interval);
      state.candles = [...state.candles.filter((c) => c.time !== message.data.time), message.data];
    },
  };
  for (const [name, listener] of Object.entries(listeners)) socket.on(name, listener);
  socket.emit("subscribe", { symbol, interval, subscription_id: subscriptionId });
  return {
    state,
    unmount() {
      socket.emit("unsubscribe", { symbol, interval, subscription_id: subscriptionId });
      for (const [name, listener] of Object.entries(listeners)) socket.off(name, listener);
    },
  };
}

async function until(condition, what) {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 1500, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

await check("first design: main namespace, subscribe_kline, get_history, snake_case", async () => {
  const client = new FirstDesignClient();
  const greeting = await client.connected();
  assert.equal(typeof greeting.client_id, "string");
  assert.ok(Number.isInteger(greeting.server_time) && Array.isArray(greeting.supported_symbols));
  const history = client.once("history_data");
  const confirmed = client.once("subscription_confirmed");
  client.socket.emit("subscribe_kline", { symbol, interval: "s1", subscription_id: "sub_001" });
  const page = await history;
  assert.deepEqual([page.symbol, page.interval, typeof page.has_more, page.total_count], [symbol, "s1", "boolean", page.data.length]);
  page.data.forEach(fitsCandle);
  assert.ok(page.data.every((c, i) => i === 0 || page.data[i - 1].time < c.time), "history ascends");
  assert.equal((await confirmed).subscription_id, "sub_001");
  await until(() => (client.candles.get("sub_001") ?? []).length >= 2, "no candles");
  for (const message of client.candles.get("sub_001")) {
    fitsCandle(message.data);
    assert.ok(message.timestamp > 1e12);
  }

  // A second subscription of the same client, with its own id: each message goes to its own.
  client.socket.emit("subscribe_kline", { symbol, interval: "s5", subscription_id: "sub_002" });
  await until(() => (client.candles.get("sub_002") ?? []).length >= 1, "no candles for the second");
  assert.ok(client.candles.get("sub_001").every((m) => m.interval === "s1") && client.candles.get("sub_002").every((m) => m.interval === "s5"));
  const older = client.once("history_data");
  client.socket.emit("get_history", { symbol, interval: "s1", limit: 10 });
  assert.ok((await older).data.length <= 10);
  const error = client.once("error");
  client.socket.emit("subscribe_kline", { symbol, interval: "7m" });
  assert.deepEqual(Object.keys(await error).sort(), ["code", "message"]);
  const gone = client.once("unsubscribe_confirmed");
  client.socket.emit("unsubscribe_kline", { symbol, interval: "s1", subscription_id: "sub_001" });
  assert.deepEqual([(await gone).subscription_id, (await gone).success], ["sub_001", true]);
  client.socket.disconnect();
});

await check("third design: /ws/kline, camelCase greeting, prices", thirdDesign);

await check("public front-end: components that match on subscription_id, on /kline", async () => {
  const socket = io(`${url}/kline`, { transports: ["websocket", "polling"], forceNew: true, reconnectionAttempts: 5, timeout: 10000 });
  await new Promise((resolve) => socket.once("connection_success", resolve));
  const beat = setInterval(() => socket.emit("ping", { timestamp: Date.now() }), 200);
  const chart = useKline({ interval: "s1", subscriptionId: "chart-1" }, socket);
  const ticker = useKline({ interval: "m1", subscriptionId: "ticker-2" }, socket);
  await until(() => chart.state.confirmed && ticker.state.confirmed, "not confirmed");
  assert.ok(chart.state.history && ticker.state.history);
  await until(() => chart.state.candles.length >= 2 && ticker.state.candles.length >= 1, "the components got no candles");

  // The user changes the interval: the component goes and comes with a new id.
  chart.unmount();
  const next = useKline({ interval: "s5", subscriptionId: "chart-3" }, socket);
  await until(() => next.state.confirmed && next.state.candles.length >= 1, "no candles after the change");
  const before = ticker.state.candles.at(-1).update_count;
  await until(() => ticker.state.candles.at(-1).update_count !== before, "the other component stopped");

  // A client of the older server never sent an id and must live with null.
  const events = new Inbox();
  socket.on("kline_data", (message) => events.push(message));
  socket.emit("subscribe", { symbol, interval: "s15" });
  await events.take((m) => m.interval === "s15" && m.subscription_id === null);
  clearInterval(beat);
  socket.disconnect();
});
done();

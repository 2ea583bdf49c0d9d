// socket.io-client against the real server: node kline-socketio.mjs URL polling|websocket|default KEY
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { check, done, Inbox } from "./lib/check.mjs";

const [url, mode, key] = process.argv.slice(2);
const transports = mode === "default" ? undefined : [mode];

function open(namespace, more = {}) {
  const socket = io(url + namespace, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 100, auth: { token: key }, ...(transports && { transports }), ...more });
  const inbox = new Inbox();
  socket.onAny((name, data) => inbox.push({ name, data }));
  // Why a connection ended is what a failure is read for.
  socket.on("disconnect", (reason, details) => console.log(`${namespace}: disconnect: ${reason} ${details?.description?.message ?? details?.description ?? ""} ${details?.context?.status ?? ""} ${details?.context?.responseText ?? ""}`));
  return { socket, inbox, event: async (name) => (await inbox.take((e) => e.name === name)).data };
}

const symbols = (await (await fetch(`${url}/api/v1/symbols?limit=1`, { headers: { "X-Api-Key": key } })).json()).symbols;
const symbol = symbols[0].symbol;

// Each namespace on a connection of its own, all at once: most of the time is waiting for trades.
async function follow(namespace) {
  const client = open(namespace);
  await check(`${namespace}: greeting`, async () => {
    const greeting = await client.event("connection_success");
    assert.ok((greeting.supported_intervals ?? greeting.supportedIntervals).includes("s1"));
  });

  await check(`${namespace}: subscribe, order, live`, async () => {
    client.socket.emit("subscribe", { symbol, interval: "s1", subscription_id: "sub-1" });
    const before = [];
    let confirmed;
    while (!confirmed) {
      const { name, data } = await client.inbox.take();
      if (name === "subscription_confirmed") confirmed = data;
      else before.push(name);
    }
    assert.deepEqual(before, namespace === "/kline" ? ["history_data", "history_event_data"] : ["history_data"]);
    assert.equal(confirmed.subscription_id, "sub-1");
    let seq = 0;
    for (let i = 0; i < 3; i++) {
      const update = await client.event("kline_data");
      assert.equal(update.symbol, symbol);
      assert.equal(update.subscription_id, "sub-1");
      assert.ok(update.seq >= seq);
      assert.ok(update.data.low <= update.data.open && update.data.close <= update.data.high);
      seq = update.seq;
    }
  });

  await check(`${namespace}: acknowledgement, array, both names`, async () => {
    assert.deepEqual(await client.socket.timeout(5000).emitWithAck("subscribe_kline", { symbol, interval: ["m1", "h1"] }), { success: true });
    const bad = await client.socket.timeout(5000).emitWithAck("subscribe", { symbol, interval: "2m" });
    assert.equal(bad.success, false);
    assert.equal(bad.code, 1001);
    assert.equal((await client.event("error")).code, 1001);
  });

  await check(`${namespace}: history`, async () => {
    client.socket.emit("get_history", { symbol, interval: "s1", limit: 5, order: "desc" });
    const { data } = await client.inbox.take((e) => e.name === "history_data" && e.data.interval === "s1");
    assert.ok(data.data.length <= 5);
    const times = data.data.map((c) => c.time);
    assert.deepEqual(times, [...times].sort((a, b) => b - a));
  });

  await check(`${namespace}: limit of subscriptions`, async () => {
    const ack = await client.socket.timeout(5000).emitWithAck("subscribe", { symbol, interval: ["s1", "s5", "s15", "s30", "m1", "m5", "m15"] });
    assert.equal(ack.code, 1002);
  });

  await check(`${namespace}: unsubscribe`, async () => {
    client.socket.emit("unsubscribe", { symbol, interval: "s1", subscription_id: "sub-1" });
    assert.equal((await client.event("unsubscribe_confirmed")).subscription_id, "sub-1");
    client.socket.emit("ping", { timestamp: 1 });
    const { data } = await client.inbox.take((e) => e.name === "kline_data");
    assert.notEqual(data.interval, "s1");
  });

  await check(`${namespace}: reconnect with resume`, async () => {
    client.socket.emit("subscribe", { symbol, interval: "s1" });
    let { data: last } = await client.inbox.take((e) => e.name === "kline_data" && e.data.interval === "s1");
    client.socket.io.engine.close();
    await new Promise((resolve) => client.socket.once("connect", resolve));
    for (const { name, data } of client.inbox.all) if (name === "kline_data" && data.interval === "s1") last = data;
    await client.event("connection_success");
    client.socket.emit("subscribe", { symbol, interval: "s1", resume: { epoch: last.epoch, seq: last.seq } });
    const confirmed = await client.inbox.take((e) => e.name === "subscription_confirmed" || e.name === "history_data");
    assert.equal(confirmed.name, "subscription_confirmed");
    assert.equal(confirmed.data.recovered, true);
    const first = await client.event("kline_data");
    assert.ok(first.seq >= last.seq);
    client.socket.emit("subscribe", { symbol, interval: "s1", resume: { epoch: 1, seq: 1 } });
    assert.equal((await client.inbox.take((e) => e.name === "subscription_confirmed")).data.recovered, false);
  });
  client.socket.disconnect();
}

await Promise.all(["/", "/kline", "/ws/kline"].map(follow));

await check("not authorised", async () => {
  const stranger = open("/kline", { auth: {} });
  const error = await new Promise((resolve) => stranger.socket.once("connect_error", resolve));
  assert.equal(error.data.code, 1005);
  stranger.socket.disconnect();
});

await check("too many requests: told, then disconnected, then back", async () => {
  const { socket, event } = open("/");
  await event("connection_success");
  const gone = new Promise((resolve) => socket.once("disconnect", resolve));
  for (let i = 0; i < 200; i++) socket.emit("unsubscribe", { symbol, interval: "s1" });
  assert.equal((await event("error")).code, 1004);
  assert.notEqual(await gone, "io server disconnect");
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.disconnect();
});

await check("prices", async () => {
  const { socket, event } = open("/ws/kline");
  await event("connection_success");
  socket.emit("subscribe_price", { symbol });
  const price = await event("price_update");
  assert.equal(price.symbol, symbol);
  assert.ok(price.price > 0 && price.timestamp > 1e12);
  assert.ok(["buy", "sell", null].includes(price.side));
  socket.disconnect();
});
done();

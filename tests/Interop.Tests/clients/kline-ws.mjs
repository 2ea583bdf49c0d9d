// npm ws against the real server: node kline-ws.mjs URL KEY
import assert from "node:assert/strict";
import WebSocket from "ws";
import { check, done, Inbox } from "./lib/check.mjs";

const [url, key] = process.argv.slice(2);
const symbols = (await (await fetch(`${url}/api/v1/symbols?limit=2`, { headers: { "X-Api-Key": key } })).json()).symbols;
const symbol = symbols[0].symbol;

function open(path) {
  const socket = new WebSocket(url.replace("http", "ws") + path, { headers: { "X-Api-Key": key } });
  const inbox = new Inbox();
  socket.on("message", (data, isBinary) => {
    assert.ok(!isBinary);
    inbox.push(JSON.parse(data.toString()));
  });
  const closed = new Promise((resolve) => socket.once("close", (code, reason) => resolve({ code, reason: reason.toString() })));
  return { socket, inbox, closed, send: (o) => socket.send(JSON.stringify(o)), type: (name) => inbox.take((m) => m.type === name) };
}

let last;
await check("/ws: subscribe, live, unsubscribe, history, ping", async () => {
  const client = open("/ws");
  const greeting = await client.type("connection_success");
  assert.equal(typeof greeting.client_id, "string");
  client.send({ msg_type: "subscribe", symbol, interval: "s1", subscription_id: "a" });
  const types = [(await client.inbox.take()).type, (await client.inbox.take()).type];
  assert.deepEqual(types, ["history_data", "subscription_confirmed"]);
  for (let i = 0; i < 5; i++) {
    const { data } = await client.type("kline_data");
    assert.equal(data.subscription_id, "a");
    last = data;
  }
  client.send({ msg_type: "history", symbol, interval: "s1", limit: 3 });
  assert.ok((await client.type("history_data")).data.data.length <= 3);
  client.send({ msg_type: "unsubscribe", symbol, interval: "s1" });
  assert.equal((await client.type("unsubscribe_confirmed")).data.type, "unsubscribe_confirmed");
  client.send({ msg_type: "ping" });
  await client.type("pong");
  client.socket.close(1000);
  assert.equal((await client.closed).code, 1000);
});

await check("/ws: reconnect with resume", async () => {
  const client = open("/ws");
  await client.type("connection_success");
  client.send({ msg_type: "subscribe", symbol, interval: "s1", resume: { epoch: last.epoch, seq: last.seq } });
  const answer = await client.inbox.take();
  assert.equal(answer.type, "subscription_confirmed");
  assert.equal(answer.data.recovered, true);
  assert.ok((await client.type("kline_data")).data.seq >= last.seq);
  client.socket.terminate();
});

await check("/ws: every error code, and the connection stays", async () => {
  const client = open("/ws");
  await client.type("connection_success");
  client.socket.send("{broken");
  assert.equal((await client.type("error")).code, 1001);
  client.send({ msg_type: "fly" });
  assert.equal((await client.type("error")).data.code, 1001);
  client.send({ msg_type: "subscribe", symbol, interval: ["s1", "s5", "s15", "s30", "m1", "m5", "m15"] });
  assert.equal((await client.type("error")).code, 1002);
  for (let i = 0; i < 300; i++) client.send({ msg_type: "ping" });
  assert.equal((await client.type("error")).code, 1004);
  assert.equal((await client.closed).code, 4004);
});

await check("/ws: frames that are not understood", async () => {
  const binary = open("/ws");
  await binary.type("connection_success");
  binary.socket.send(Buffer.from([1]));
  assert.equal((await binary.closed).code, 1003);
  const large = open("/ws");
  await large.type("connection_success");
  large.socket.send("x".repeat(1_048_577));
  assert.equal((await large.closed).code, 1009);
});

await check("/ws/kline/live", async () => {
  const client = open("/ws/kline/live");
  await new Promise((resolve) => client.socket.once("open", resolve));
  client.send({ subscribe: symbol });
  const update = await client.inbox.take();
  assert.ok(Array.isArray(update));
  assert.ok(update.every((k) => k.open_time > 1e12 && typeof k.period === "string" && !("symbol" in k)));
  client.send({ subscribe: "nothing" });
  assert.ok((await client.inbox.take((m) => !Array.isArray(m))).error.includes("nothing"));
  client.send({ subscribe: [symbol] });
  assert.equal((await client.inbox.take((m) => Array.isArray(m) && "symbol" in m[0]))[0].symbol, symbol);
  client.socket.close();
});

await check("not authorised", async () => {
  const socket = new WebSocket(url.replace("http", "ws") + "/ws");
  const status = await new Promise((resolve) => socket.once("unexpected-response", (_, response) => resolve(response.statusCode)));
  assert.equal(status, 401);
});
done();

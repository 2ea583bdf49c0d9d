// Runs socket.io-client against the conformance server: node socketio.mjs URL polling|websocket|default
import assert from "node:assert/strict";
import { io } from "socket.io-client";

const [url, mode] = process.argv.slice(2);
const transports = mode === "default" ? undefined : [mode];
const safety = setTimeout(() => {
  console.error("timed out");
  process.exit(2);
}, 60_000);

const open = (path = "/", more = {}) =>
  io(url + path, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 100, ...(transports && { transports }), ...more });
const next = (socket, name) => new Promise((resolve) => socket.once(name, (...args) => resolve(args)));
async function check(name, run) {
  await run();
  console.log(`ok ${name}`);
}

const socket = open("/", { auth: { token: "123" } });
const [auth] = await next(socket, "auth");

await check("connect with auth", () => {
  assert.deepEqual(auth, { token: "123" });
  assert.ok(socket.connected);
  assert.equal(typeof socket.id, "string");
  assert.ok(!socket.recovered);
});

await check("transport", async () => {
  const engine = socket.io.engine;
  if (mode === "default" && engine.transport.name !== "websocket") await new Promise((resolve) => engine.once("upgrade", resolve));
  assert.equal(engine.transport.name, mode === "polling" ? "polling" : "websocket");
});

await check("echo keeps arguments", async () => {
  const args = [1, "2", { 3: [true, null, 0.1, "é€😀"] }, []];
  socket.emit("message", ...args);
  assert.deepEqual(await next(socket, "message-back"), args);
});

await check("order of many", async () => {
  const got = [];
  const done = new Promise((resolve) => socket.on("message-back", (n) => got.push(n) === 500 && resolve()));
  for (let i = 0; i < 500; i++) socket.emit("message", i);
  await done;
  socket.off("message-back");
  assert.deepEqual(got, Array.from({ length: 500 }, (_, i) => i));
});

await check("binary echo", async () => {
  socket.emit("message", { file: Buffer.from([1, 2, 3]), more: [Buffer.alloc(70_000, 7)] });
  const [back] = await next(socket, "message-back");
  assert.deepEqual(Buffer.from(back.file), Buffer.from([1, 2, 3]));
  assert.equal(back.more[0].byteLength ?? back.more[0].length, 70_000);
});

await check("acknowledgement", async () => {
  assert.deepEqual(await socket.timeout(5000).emitWithAck("message-with-ack", { a: 1 }), { a: 1 });
  const binary = await socket.timeout(5000).emitWithAck("message-with-ack", Buffer.from([4, 5]));
  assert.deepEqual(Buffer.from(binary), Buffer.from([4, 5]));
});

await check("acknowledgement of the client", async () => {
  socket.on("question", (value, answer) => answer(value + 1, Buffer.from([9])));
  socket.emit("ask-me", 41);
  const [value, bytes] = await next(socket, "answered");
  assert.equal(value, 42);
  assert.deepEqual(Buffer.from(bytes), Buffer.from([9]));
});

await check("large message", async () => {
  const large = "x".repeat(300_000);
  socket.emit("message", large);
  assert.equal((await next(socket, "message-back"))[0], large);
});

await check("heartbeat", async () => {
  for (let i = 0; i < 2; i++) await new Promise((resolve) => socket.io.once("ping", resolve));
  assert.ok(socket.connected);
});

await check("namespaces on one connection", async () => {
  // Connects by itself; connect() besides would send a second CONNECT, which ends the connection here as in the reference server.
  const custom = socket.io.socket("/custom", { auth: { n: 1 } });
  await next(custom, "auth");
  custom.disconnect();
  socket.emit("message", "still");
  assert.deepEqual(await next(socket, "message-back"), ["still"]);
});

await check("refusals", async () => {
  const unknown = open("/random");
  assert.equal((await next(unknown, "connect_error"))[0].message, "Invalid namespace");
  unknown.disconnect();
  const refused = open("/refused");
  const [error] = await next(refused, "connect_error");
  assert.equal(error.message, "Not today");
  assert.deepEqual(error.data, { retry: false });
  refused.disconnect();
});

await check("reconnect by itself", async () => {
  const before = socket.id;
  const left = next(socket, "disconnect");
  const again = next(socket, "auth");
  socket.emit("drop-me");
  assert.equal((await left)[0], "transport close");
  await again;
  assert.notEqual(socket.id, before);
  socket.emit("message", "back");
  assert.deepEqual(await next(socket, "message-back"), ["back"]);
});

await check("many clients at once", async () => {
  const clients = Array.from({ length: 30 }, () => open());
  await Promise.all(
    clients.map(async (client, i) => {
      await next(client, "auth");
      assert.deepEqual(await client.timeout(20_000).emitWithAck("message-with-ack", i), i);
      client.disconnect();
    })
  );
});

await check("disconnect", async () => {
  const left = next(socket, "disconnect");
  socket.disconnect();
  assert.equal((await left)[0], "io client disconnect");
});

clearTimeout(safety);
console.log("all ok");
process.exit(0);

// Speaks Engine.IO and Socket.IO by hand over npm ws: node ws.mjs URL
import assert from "node:assert/strict";
import WebSocket from "ws";

const [url] = process.argv.slice(2);
const safety = setTimeout(() => {
  console.error("timed out");
  process.exit(2);
}, 60_000);

function open(path, options) {
  const socket = new WebSocket(url.replace("http", "ws") + path + "?EIO=4&transport=websocket", options);
  const waiting = [];
  const queue = [];
  const push = (item) => (waiting.length ? waiting.shift()(item) : queue.push(item));
  socket.on("message", (data, isBinary) => {
    const text = isBinary ? data : data.toString();
    if (text !== "2") push(text);
    else socket.send("3");
  });
  socket.on("close", (code) => push({ code }));
  socket.on("error", (error) => push({ error: error.message }));
  return { socket, send: (data) => socket.send(data), next: () => (queue.length ? Promise.resolve(queue.shift()) : new Promise((resolve) => waiting.push(resolve))) };
}

async function check(name, run) {
  await run();
  console.log(`ok ${name}`);
}

await check("echo of text, binary and fragments", async () => {
  const client = open("/engine.io/");
  assert.match(await client.next(), /^0\{"sid":/);
  client.send("4hello");
  assert.equal(await client.next(), "4hello");
  client.send(Buffer.from([1, 2, 3]));
  assert.deepEqual(await client.next(), Buffer.from([1, 2, 3]));
  client.socket.send("4a", { fin: false });
  client.socket.send("b", { fin: true });
  assert.equal(await client.next(), "4ab");
  client.send("1");
  assert.deepEqual(await client.next(), { code: 1000 });
});

await check("no compression is negotiated", async () => {
  const client = open("/engine.io/", { perMessageDeflate: true });
  await client.next();
  assert.equal(client.socket.extensions, "");
  client.socket.close();
});

await check("a message above the bound closes with 1009", async () => {
  const client = open("/engine.io/");
  await client.next();
  client.send("4" + "x".repeat(1_000_000));
  assert.deepEqual(await client.next(), { code: 1009 });
});

await check("a masked lie and a reserved bit close the connection", async () => {
  const client = open("/engine.io/");
  await client.next();
  client.socket._socket.write(Buffer.from([0xf1, 0x80, 0, 0, 0, 0]));
  const closed = await client.next();
  assert.ok(closed.code === 1002 || closed.code === 1006, JSON.stringify(closed));
});

await check("Socket.IO by hand", async () => {
  const client = open("/socket.io/");
  await client.next();
  client.send("40");
  assert.match(await client.next(), /^40\{"sid":"[A-Za-z0-9_-]{20}"\}$/);
  assert.equal(await client.next(), '42["auth",{}]');
  client.send('451-7["message-with-ack",{"_placeholder":true,"num":0}]');
  client.send(Buffer.from([5]));
  assert.equal(await client.next(), '461-7[{"_placeholder":true,"num":0}]');
  assert.deepEqual(await client.next(), Buffer.from([5]));
  client.send("42{}");
  assert.deepEqual(await client.next(), { code: 1002 });
});

await check("a foreign origin is welcome here, for the server allows any", async () => {
  const client = open("/engine.io/", { origin: "https://example.com" });
  assert.match(await client.next(), /^0/);
  client.socket.terminate();
});

clearTimeout(safety);
console.log("all ok");
process.exit(0);

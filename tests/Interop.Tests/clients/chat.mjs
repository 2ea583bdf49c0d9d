// socket.io-client against the chat of ChatServer.cs: node chat.mjs URL polling|websocket|default
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { check, done, Inbox } from "./lib/check.mjs";

const [url, mode] = process.argv.slice(2);
const transports = mode === "default" ? undefined : [mode];

async function enter(name) {
  const socket = io(`${url}/chat`, { forceNew: true, auth: name ? { name } : {}, ...(transports && { transports }) });
  const inbox = new Inbox();
  socket.onAny((event, ...args) => inbox.push({ event, args }));
  const next = async (event) => (await inbox.take((e) => e.event === event)).args[0];
  return { socket, next, ask: (event, ...args) => socket.timeout(10_000).emitWithAck(event, ...args) };
}

await check("a check refuses, with data", async () => {
  const { socket } = await enter(null);
  const error = await new Promise((resolve) => socket.once("connect_error", resolve));
  assert.equal(error.message, "A name is needed");
  assert.deepEqual(error.data, { code: 401 });
  socket.disconnect();
});

const [ann, bob, cyn] = [await enter("ann"), await enter("bob"), await enter("cyn")];
for (const client of [ann, bob, cyn]) assert.equal((await client.next("welcome")).id, client.socket.id);

await check("rooms and acknowledgements", async () => {
  assert.deepEqual(await ann.ask("join", "red"), { ok: true, members: 1 });
  assert.deepEqual(await bob.ask("join", "red"), { ok: true, members: 2 });
  assert.deepEqual(await ann.next("joined"), { room: "red", name: "bob" });
  assert.equal((await ann.ask("join", { not: "a name" })).ok, false);
  assert.deepEqual(await cyn.ask("join", "blue"), { ok: true, members: 1 });
  ann.socket.emit("say", "red", "hello é😀");
  for (const client of [ann, bob]) assert.deepEqual(await client.next("said"), { room: "red", name: "ann", text: "hello é😀" });
  ann.socket.emit("say", "blue", "to blue");
  assert.equal((await cyn.next("said")).text, "to blue");
});

await check("binary data", async () => {
  const picture = Buffer.from([0, 1, 254, 255]);
  bob.socket.emit("picture", "red", picture);
  for (const client of [ann, bob]) assert.deepEqual(Buffer.from(await client.next("picture")), picture);
});

await check("questions to clients", async () => {
  bob.socket.on("question", (text, answer) => answer(`bob on ${text}`));
  cyn.socket.on("question", (text, answer) => answer(`cyn on ${text}`));
  assert.deepEqual((await ann.ask("ask-all", "lunch")).sort(), ["bob on lunch", "cyn on lunch"]);
});

await check("leaving", async () => {
  assert.equal(await bob.ask("leave", "red"), true);
  assert.equal(await bob.ask("leave", "red"), false);
  ann.socket.emit("say", "red", "alone");
  assert.equal((await ann.next("said")).text, "alone");
  bob.socket.disconnect();
  assert.deepEqual(await ann.next("left"), { name: "bob", why: "client namespace disconnect" });
});
ann.socket.disconnect();
cyn.socket.disconnect();
done();

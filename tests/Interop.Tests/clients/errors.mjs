// Every error code on one client: node errors.mjs URL KEY CLIENT
// The server's limits are small (6 subscriptions, bursts of 40, 4 connections) and its store of klines is away. CLIENT: polling, websocket, default (socket.io-client), ws, live, signalr.
import assert from "node:assert/strict";
import * as signalR from "@microsoft/signalr";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { check, done, Inbox } from "./lib/check.mjs";

const [url, key, client] = process.argv.slice(2);
const symbol = (await (await fetch(`${url}/api/v1/symbols?limit=1`, { headers: { "X-Api-Key": key } })).json()).symbols[0].symbol;
const seven = ["s1", "s5", "s15", "s30", "m1", "m5", "m15"];

/** Opens one connection; ask(name, request) sends a request and gives the code that it is answered with; flood(n) sends n requests and gives the code they end with. */
async function open(token = key) {
  if (client === "signalr") {
    const connection = new signalR.HubConnectionBuilder().withUrl(`${url}/hubs/kline`, { accessTokenFactory: () => token }).configureLogging(signalR.LogLevel.None).build();
    const ended = new Promise((resolve) => connection.onclose((error) => resolve(error?.message ?? "")));
    await connection.start();
    const names = { subscribe: "Subscribe", history: "History", unsubscribe: "Unsubscribe" };
    const ask = async (name, { interval, ...request }) => {
      try {
        await connection.invoke(names[name], { ...request, intervals: interval, interval: Array.isArray(interval) ? interval[0] : interval });
        return 0;
      } catch (error) {
        return Number(/(\d{4}): /.exec(error.message)?.[1]);
      }
    };
    const flood = async (n) => {
      const codes = await Promise.all(Array.from({ length: n }, () => ask("unsubscribe", { symbol })));
      return { codes, why: await ended };
    };
    return { ask, flood, ended, close: () => connection.stop() };
  }

  const inbox = new Inbox();
  if (client === "ws" || client === "live") {
    const socket = new WebSocket(url.replace("http", "ws") + (client === "ws" ? "/ws" : "/ws/kline/live"), { headers: { "X-Api-Key": token } });
    const ended = new Promise((resolve) => socket.once("close", (code, reason) => resolve(`${code} ${reason}`)));
    socket.on("message", (data) => inbox.push(JSON.parse(data.toString())));
    await new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("unexpected-response", (request, response) => {
        let text = "";
        response.on("data", (part) => (text += part));
        response.on("end", () => reject(Object.assign(new Error(`${response.statusCode}`), { status: response.statusCode, code: JSON.parse(text).code })));
      });
    });
    const send = (name, request) => socket.send(JSON.stringify(client === "live" ? { subscribe: request.symbol } : { msg_type: name, ...request }));
    const error = async () => (await inbox.take((m) => m.type === "error" || m.error !== undefined)).code;
    const flood = async (n) => {
      for (let i = 0; i < n; i++) send("unsubscribe", { symbol: client === "live" ? "nothing" : symbol, interval: "s1" });
      const why = await ended;
      return { codes: inbox.all.map((m) => m.code), why };
    };
    return { ask: (name, request) => (send(name, request), error()), flood, ended, close: () => socket.terminate() };
  }

  const socket = io(`${url}/kline`, { forceNew: true, reconnection: false, auth: { token }, ...(client !== "default" && { transports: [client] }) });
  const ended = new Promise((resolve) => socket.once("disconnect", resolve));
  socket.onAny((name, data) => inbox.push({ name, ...data }));
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", (error) => {
      // Only now: the client forgets the answer's body when it aborts its request.
      error.body = error.context?.responseText;
      socket.disconnect();
      reject(error);
    });
  });
  const ask = async (name, request) => {
    const answer = await socket.timeout(10_000).emitWithAck(name, request);
    assert.equal((await inbox.take((e) => e.name === "error")).code, answer.code);
    return answer.code;
  };
  const flood = async (n) => {
    for (let i = 0; i < n; i++) socket.emit("unsubscribe", { symbol, interval: "s1" });
    const why = await ended;
    return { codes: inbox.all.map((m) => m.code), why };
  };
  return { ask, flood, ended, close: () => socket.disconnect() };
}

const refused = (token) => open(token).then(() => assert.fail("was let in"), (error) => error);

const connection = await open();
await check("1001 bad request", async () => {
  assert.equal(await connection.ask("subscribe", { symbol: client === "live" ? "nothing" : symbol, interval: ["2m"] }), 1001);
  assert.equal(await connection.ask("history", { symbol: "nothing", interval: ["s1"] }), 1001);
});

// /ws/kline/live has neither history nor intervals, and an array of symbols is what can be too many there.
if (client === "live") {
  await check("1002 too many symbols", async () => {
    assert.equal(await connection.ask("subscribe", { symbol: Array.from({ length: 7 }, (_, i) => `MintMintMintMintMintMintMintMint111${i}`) }), 1002);
  });
} else {
  await check("1002 too many subscriptions", async () => assert.equal(await connection.ask("subscribe", { symbol, interval: seven }), 1002));
  await check("1003 history cannot be read", async () => {
    assert.equal(await connection.ask("history", { symbol, interval: ["s1"], limit: 1000 }), 1003);
    assert.equal(await connection.ask("subscribe", { symbol, interval: ["s1"], limit: 1000 }), 1003);
  });
}

await check("1004 too many requests, then the connection ends", async () => {
  const { codes, why } = await connection.flood(300);
  assert.ok(codes.includes(1004), `${codes}`);
  assert.ok(/1004|4004|transport/.test(why), why);
});

await check("1005 not authorised", async () => {
  const error = await refused("wrong-wrong-wrong-wrong");
  if (client === "signalr") assert.match(error.message, /401/);
  else if (client === "ws" || client === "live") assert.deepEqual([error.status, error.code], [401, 1005]);
  else assert.equal(error.data.code, 1005);
});

await check("1006 server busy, and room again", async () => {
  const full = [];
  for (let i = 0; i < 4; i++) full.push(await open());
  if (client === "signalr") {
    // The hub lets it in, says why it ends, and ends it; this client keeps the reason to itself where that comes together with the handshake's answer,
    // or before its own first ping, which start() sends.
    const why = await open().then((extra) => extra.ended, (error) => error.message);
    assert.match(why, /1006: Busy|before the hub handshake could complete|^Cannot send data if the connection is not in the 'Connected' State/);
  } else {
    const error = await refused();
    if (client === "ws" || client === "live") assert.deepEqual([error.status, error.code], [503, 1006]);
    else if (client === "websocket") assert.equal(error.type, "TransportError");
    else assert.match(error.body, /"message":"1006: /);
  }

  full[0].close();
  for (let tries = 0; ; tries++) {
    // The server learns of the close a moment later.
    try {
      const again = await open();
      const code = await Promise.race([again.ask("history", { symbol: "nothing", interval: ["s1"] }), again.ended]);
      if (code === 1001) break;
    } catch (error) {
      if (tries > 50) throw error;
    }

    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});
done();

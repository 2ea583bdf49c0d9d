// @microsoft/signalr against the real server: node kline-signalr.mjs URL KEY
import assert from "node:assert/strict";
import * as signalR from "@microsoft/signalr";
import { check, done, Inbox } from "./lib/check.mjs";

const [url, key] = process.argv.slice(2);

async function open(token = key) {
  const connection = new signalR.HubConnectionBuilder().withUrl(`${url}/hubs/kline`, { accessTokenFactory: () => token }).configureLogging(signalR.LogLevel.None).build();
  const inbox = new Inbox();
  for (const name of ["kline", "status", "skipped"]) connection.on(name, (data) => inbox.push({ name, data }));
  await connection.start();
  return { connection, inbox };
}

const code = async (call) => {
  try {
    await call;
  } catch (error) {
    return Number(/HubException: (\d{4}): /.exec(error.message)?.[1]);
  }
  return 0;
};

const { connection, inbox } = await open();
const symbol = (await connection.invoke("Symbols", "", 1)).symbols[0].symbol;
let last;
await check("subscribe and live", async () => {
  const start = await connection.invoke("Subscribe", { symbol, intervals: ["s1", "m1"] });
  let seq = start.seq;
  for (let i = 0; i < 5; i++) {
    last = (await inbox.take((m) => m.name === "kline")).data;
    assert.ok(last.seq > seq);
    seq = last.seq;
  }
});
await check("history and unsubscribe", async () => {
  assert.ok((await connection.invoke("History", { symbol, interval: "s1", limit: 5 })).klines.length <= 5);
  assert.equal((await connection.invoke("Unsubscribe", { symbol })).symbol, symbol);
});
await check("error codes", async () => {
  assert.equal(await code(connection.invoke("Subscribe", { symbol, intervals: ["2m"] })), 1001);
  assert.equal(await code(connection.invoke("Subscribe", { symbol, intervals: ["s1", "s5", "s15", "s30", "m1", "m5", "m15"] })), 1002);
  const answers = await Promise.all(Array.from({ length: 60 }, () => code(connection.invoke("Unsubscribe", { symbol }))));
  assert.ok(answers.includes(1004));
});
await connection.stop();
await check("reconnect with resume", async () => {
  const again = await open();
  const start = await again.connection.invoke("Subscribe", { symbol, intervals: ["s1"], resume: { epoch: last.epoch, seq: last.seq } });
  assert.equal(start.recovered, true);
  assert.ok((await again.inbox.take((m) => m.name === "kline")).data.seq > last.seq);
  await again.connection.stop();
});
await check("streaming", async () => {
  const again = await open();
  const items = await new Promise((resolve, reject) => {
    const got = [];
    const subscription = again.connection.stream("Klines", symbol, "s1", null).subscribe({
      next: (item) => got.push(item) === 3 && (subscription.dispose(), resolve(got)),
      error: reject,
      complete: () => {},
    });
  });
  assert.ok(items[0].klines.s1);
  await again.connection.stop();
});
await check("not authorised", async () => {
  await assert.rejects(open("wrong-wrong-wrong-wrong"), /401/);
});
done();

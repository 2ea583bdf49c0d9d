// Klines of one symbol: the newest over HTTP, then every change over /ws. Node 22, or a browser: no package.
// Node 20: node --experimental-websocket follow.mjs
//   node docs/examples/follow.mjs http://127.0.0.1:8080 [SYMBOL] [INTERVAL]
const [server = "http://127.0.0.1:8080", wanted, interval = "s1"] = process.argv.slice(2);
const get = async (path) => {
  const answer = await fetch(new URL(path, server));
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer.json();
};
const symbol = wanted ?? (await get("/api/v1/symbols?limit=1")).symbols[0].symbol;
const klines = new Map(); // by open time, in Unix milliseconds: a correction takes its kline's place

for (const kline of (await get(`/api/v1/klines/${symbol}/${interval}?limit=100`)).klines) klines.set(kline.openTime, kline);
console.log(symbol, interval, klines.size, "klines to begin with");

let position; // (epoch, seq) of the newest message: what was missed comes after a break
const connect = () => {
  const socket = new WebSocket(new URL("/ws", server.replace(/^http/, "ws")));
  socket.onopen = () => socket.send(JSON.stringify({ msg_type: "subscribe", symbol, interval, limit: 1, ...(position && { resume: position }) }));
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "error") console.error(message.code, message.message);
    if (message.type !== "kline_data") return;
    const { data: kline, epoch, seq } = message.data;
    position = { epoch, seq };
    klines.set(kline.time * 1000, kline);
    console.log(new Date(kline.time * 1000).toISOString(), symbol, interval, kline.close, kline.is_final ? "final" : "forming");
  };
  socket.onclose = () => setTimeout(connect, 1000 + Math.random() * 2000); // everybody else comes back too
};
connect();

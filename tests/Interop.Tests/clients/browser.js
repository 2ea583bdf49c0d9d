// Runs in a page of the server, beside the browser builds of socket.io-client and @microsoft/signalr: the same walk over each wire as the scripts for Node.
window.walk = (() => {
  const fail = (what) => {
    throw new Error(what);
  };
  const is = (holds, what) => holds || fail(what);
  /** The promise, or a failure that says what did not come within 40 s. Nothing here waits without it. */
  const within = (what, promise, seen = () => "") => {
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`${what} did not come. ${seen()}`)), 40_000)));
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
  };

  class Inbox {
    items = [];
    taken = [];
    push(item) {
      this.items.push(item);
      this.wake?.();
    }
    take(what, match) {
      return within(what, this.#next(match), () => `Here: ${this.#here()}. Before: ${this.taken.slice(-8).join(", ")}`);
    }
    /** What is here and fits nothing that is waited for: how many in a row of each name, and the last of them. */
    #here() {
      const rows = [];
      for (const item of this.items) {
        const name = item.name ?? item.type ?? "kline";
        if (rows.at(-1)?.name === name) rows.at(-1).count++;
        else rows.push({ name, count: 1 });
        rows.at(-1).last = JSON.stringify(item.data ?? item).slice(0, 200);
      }
      return JSON.stringify(rows).slice(0, 4000);
    }
    async #next(match) {
      for (;;) {
        const at = this.items.findIndex(match);
        if (at >= 0) {
          const gone = this.items.splice(0, at + 1);
          this.taken.push(...gone.map((item) => item.name ?? item.type ?? "kline"));
          return gone[at];
        }
        await new Promise((resolve) => (this.wake = resolve));
      }
    }
  }

  async function socketIo(key, symbol, transports) {
    const socket = io("/kline", { forceNew: true, auth: { token: key }, reconnectionDelay: 50, ...(transports && { transports }) });
    const inbox = new Inbox();
    socket.onAny((name, data) => inbox.push({ name, data }));
    socket.on("disconnect", (reason, details) => inbox.push({ name: "disconnect", data: `${reason} ${details?.description?.message ?? details?.description ?? ""} ${details?.context?.responseText ?? ""}` }));
    const event = async (name, interval) => (await inbox.take(name, (e) => e.name === name && (!interval || e.data.interval === interval))).data;
    await event("connection_success");
    socket.emit("subscribe", { symbol, interval: "s1", subscription_id: "page" });
    is((await event("history_data")).symbol === symbol, "history");
    is((await event("subscription_confirmed")).subscription_id === "page", "confirmation");
    let last;
    for (let i = 0; i < 2; i++) is((last = await event("kline_data", "s1")).subscription_id === "page", "live");
    socket.emit("history", { symbol, interval: "s1", limit: 3 });
    is((await event("history_data")).data.length <= 3, "limit of history");
    const ask = async (name, request) => (await socket.timeout(10000).emitWithAck(name, request)).code;
    is((await ask("subscribe", { symbol, interval: "2m" })) === 1001, "1001");
    is((await ask("subscribe", { symbol, interval: ["s1", "s5", "s15", "s30", "m1", "m5", "m15"] })) === 1002, "1002");
    socket.io.engine.close();
    await event("connection_success");
    socket.emit("subscribe", { symbol, interval: "s1", resume: { epoch: last.epoch, seq: last.seq } });
    is((await event("subscription_confirmed")).recovered === true, "resume");
    is((await event("kline_data", "s1")).seq >= last.seq, "live after resume");
    socket.emit("unsubscribe", { symbol, interval: "s1" });
    await event("unsubscribe_confirmed");
    const gone = new Promise((resolve) => socket.once("disconnect", resolve));
    for (let i = 0; i < 200; i++) socket.emit("unsubscribe", { symbol, interval: "s1" });
    is((await event("error")).code === 1004, "1004");
    await within("disconnect after 1004", gone);
    socket.disconnect();
    const stranger = io("/kline", { forceNew: true, auth: {}, ...(transports && { transports }) });
    const error = await within("connect_error", new Promise((resolve) => stranger.once("connect_error", resolve)));
    is(error.data?.code === 1005, "1005");
    stranger.disconnect();
  }

  async function raw(key, symbol) {
    const open = async () => {
      const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws?access_token=${key}`);
      const inbox = new Inbox();
      socket.onmessage = (e) => inbox.push(JSON.parse(e.data));
      const closed = new Promise((resolve) => (socket.onclose = (e) => resolve(e.code)));
      const type = (name) => inbox.take(name, (m) => m.type === name);
      await type("connection_success");
      return { socket, type, closed, send: (o) => socket.send(JSON.stringify(o)) };
    };
    const first = await open();
    first.send({ msg_type: "subscribe", symbol, interval: "s1", subscription_id: "page" });
    await first.type("history_data");
    await first.type("subscription_confirmed");
    const last = (await first.type("kline_data")).data;
    is(last.subscription_id === "page", "live");
    first.send({ msg_type: "unsubscribe", symbol, interval: "s1" });
    await first.type("unsubscribe_confirmed");
    first.send({ msg_type: "subscribe", symbol, interval: "2m" });
    is((await first.type("error")).code === 1001, "1001");
    first.send({ msg_type: "subscribe", symbol, interval: ["s1", "s5", "s15", "s30", "m1", "m5", "m15"] });
    is((await first.type("error")).code === 1002, "1002");
    for (let i = 0; i < 200; i++) first.send({ msg_type: "ping" });
    is((await first.type("error")).code === 1004, "1004");
    is((await within("close after 1004", first.closed)) === 4004, "close status of too many requests");
    const again = await open();
    again.send({ msg_type: "subscribe", symbol, interval: "s1", resume: { epoch: last.epoch, seq: last.seq } });
    is((await again.type("subscription_confirmed")).data.recovered === true, "resume");
    is((await again.type("kline_data")).data.seq >= last.seq, "live after resume");
    again.socket.close();
  }

  async function hub(key, symbol) {
    const open = async () => {
      const connection = new signalR.HubConnectionBuilder().withUrl("/hubs/kline", { accessTokenFactory: () => key }).configureLogging(signalR.LogLevel.None).build();
      const inbox = new Inbox();
      connection.on("kline", (data) => inbox.push(data));
      const closed = new Promise((resolve) => connection.onclose(resolve));
      await within("start of the hub", connection.start());
      const code = (method, request) => within(method, connection.invoke(method, request)).then(() => 0, (error) => Number(/(\d{4}): /.exec(error.message)?.[1]));
      return { connection, inbox, closed, code };
    };
    const first = await open();
    const ask = (connection, method, request) => within(method, connection.invoke(method, request));
    const start = await ask(first.connection, "Subscribe", { symbol, intervals: ["s1"] });
    const last = await first.inbox.take("kline", () => true);
    is(last.seq > start.seq, "live");
    is((await ask(first.connection, "History", { symbol, interval: "s1", limit: 3 })).klines.length <= 3, "history");
    is((await first.code("Subscribe", { symbol, intervals: ["2m"] })) === 1001, "1001");
    is((await first.code("Subscribe", { symbol, intervals: ["s1", "s5", "s15", "s30", "m1", "m5", "m15"] })) === 1002, "1002");
    await ask(first.connection, "Unsubscribe", { symbol });
    const codes = await Promise.all(Array.from({ length: 200 }, () => first.code("Unsubscribe", { symbol })));
    is(codes.includes(1004), "1004");
    await within("close of the hub after 1004", first.closed);
    const again = await open();
    is((await ask(again.connection, "Subscribe", { symbol, intervals: ["s1"], resume: { epoch: last.epoch, seq: last.seq } })).recovered === true, "resume");
    is((await again.inbox.take("kline", () => true)).seq > last.seq, "live after resume");
    await again.connection.stop();
  }

  /** 1003 and 1006, on a server whose klines are away and that takes few connections. */
  async function troubles(key, symbol) {
    const sockets = [];
    const enter = async (options) => {
      const socket = io("/kline", { forceNew: true, reconnection: false, auth: { token: key }, ...options });
      sockets.push(socket);
      return within(
        "connect or connect_error",
        new Promise((resolve) => (socket.once("connect", () => resolve({ socket })), socket.once("connect_error", (error) => resolve({ error: `${error.message} ${error.context?.responseText}` })))),
      );
    };
    const { socket } = await enter({});
    is((await socket.timeout(10000).emitWithAck("history", { symbol, interval: "s1", limit: 1000 })).code === 1003, "1003");
    for (let i = 1; i < 4; i++) is((await enter({})).socket, "room");
    const { error } = await enter({ transports: ["polling"] });
    is(/1006: /.test(error), `1006: ${error}`);
    sockets.forEach((s) => s.disconnect());
  }

  return { polling: (k, s) => socketIo(k, s, ["polling"]), websocket: (k, s) => socketIo(k, s, ["websocket"]), default: (k, s) => socketIo(k, s), raw, hub, troubles };
})();

/** Feeds lightweight-charts from /udf/history as a chart does, and gives back what the series then holds. */
window.drawUdf = async (symbol, resolution, from, to) => {
  const answer = await (await fetch(`/udf/history?symbol=${symbol}&resolution=${resolution}&from=${from}&to=${to}`)).json();
  const chart = LightweightCharts.createChart(document.body.appendChild(document.createElement("div")), { width: 600, height: 300 });
  const series = chart.addSeries(LightweightCharts.CandlestickSeries);
  series.setData((answer.t ?? []).map((time, i) => ({ time, open: answer.o[i], high: answer.h[i], low: answer.l[i], close: answer.c[i] })));
  return JSON.stringify(series.data());
};

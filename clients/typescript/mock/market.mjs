// A random market for the development of the page: klines in every interval with the merging rules of the real server, nothing else of it.

export const INTERVALS = { s1: 1, s5: 5, s15: 15, s30: 30, m1: 60, m5: 300, m15: 900, m30: 1800, h1: 3600, h4: 14400, d1: 86400, w1: 604800 };
const FIRST_MONDAY = 4 * 86_400_000;
const HISTORY = 2_400;
const KEPT = 3_000;

/** A repeatable source of numbers in [0, 1). */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function openTime(interval, time) {
  const length = INTERVALS[interval] * 1000;
  const shift = interval === "w1" ? FIRST_MONDAY : 0;
  return Math.floor((time - shift) / length) * length + shift;
}

const BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const NAMES = [
  ["Orbit Otter", 3.1e-8], ["Spin Pet", 1.24e-9], ["Lunar Lynx", 4.71e-7], ["Rocket Raccoon", 9.02e-6], ["Quantum Quokka", 2.2e-4], ["Tidal Turtle", 0.0135], ["Binance pair", 64_250.5, "XRPBTC"], ["Amber Axolotl", 1.8e-5],
];

export class MockMarket {
  constructor({ seed = 7, now = Date.now() } = {}) {
    this.random = randomFrom(seed);
    this.epoch = now;
    this.symbols = NAMES.map(([name, price, exchange], index) => this.#create(name, price, exchange, now - index * 86_400_000));
    for (const symbol of this.symbols) for (const interval of Object.keys(INTERVALS)) this.#history(symbol, interval, now);
  }

  find(id) {
    return this.symbols.find((symbol) => symbol.symbol === id);
  }

  search(query, limit) {
    const wanted = (query ?? "").toLowerCase();
    return this.symbols
      .filter((symbol) => symbol.name.toLowerCase().includes(wanted) || symbol.symbol.toLowerCase().includes(wanted))
      .slice(0, limit)
      .map(({ symbol, name, source, listedTime }) => ({ symbol, name, source, listedTime }));
  }

  /** One trade of `symbol`. Returns the update as the hub sends it, all intervals together. */
  trade(symbol, now = Date.now()) {
    symbol.drift = symbol.drift * 0.97 + (this.random() - 0.5) * 0.0001;
    symbol.price = round(symbol.price * Math.exp(symbol.drift + (this.random() - 0.5) * 0.0012));
    const base = round(((0.2 + this.random() ** 3 * 6) * 0.6) / symbol.start);
    const changed = [];
    for (const interval of Object.keys(INTERVALS)) {
      const klines = symbol.klines[interval];
      const at = openTime(interval, now);
      let kline = klines.at(-1);
      if (kline.openTime !== at) {
        if (!kline.isFinal) changed.push((klines[klines.length - 1] = { ...kline, isFinal: true }));
        // Buckets without a trade are flat klines, at most a few hundred after a pause.
        for (let t = kline.openTime + INTERVALS[interval] * 1000; t < at && changed.length < 500; t += INTERVALS[interval] * 1000) {
          klines.push(flat(interval, t, kline.close));
          changed.push(klines.at(-1));
        }

        const open = klines.at(-1).close;
        kline = { ...flat(interval, at, open), isFinal: false };
        klines.push(kline);
        if (klines.length > KEPT) klines.shift();
      }

      changed.push((klines[klines.length - 1] = add(kline, symbol.price, base, this.random() < 0.5)));
    }

    return this.#update(symbol, changed, now);
  }

  /** A late trade: an older final kline of every interval gets a new revision. */
  correct(symbol, now = Date.now()) {
    const changed = [];
    for (const klines of Object.values(symbol.klines)) {
      const index = klines.length - 2 - Math.floor(this.random() * 5);
      const kline = klines[index];
      if (kline === undefined || !kline.isFinal) continue;
      const price = round(kline.close * (1 + (this.random() - 0.5) * 0.004));
      klines[index] = { ...add(kline, price, 1 / symbol.start, true), close: kline.close, revision: kline.revision + 1, isFinal: true };
      changed.push(klines[index]);
    }

    return this.#update(symbol, changed, now);
  }

  #update(symbol, klines, now) {
    symbol.seq++;
    const update = { symbol: symbol.symbol, epoch: this.epoch, seq: symbol.seq, eventTime: now, sentAt: Date.now(), klines };
    symbol.recent.push(update);
    if (symbol.recent.length > 200) symbol.recent.shift();
    return update;
  }

  #create(name, price, exchange, listedTime) {
    const mint = Array.from({ length: 44 }, () => BASE58[Math.floor(this.random() * 58)]).join("");
    return { symbol: exchange ?? mint, name: exchange ?? name, source: "simulation", listedTime, start: price, price, drift: 0, seq: 0, recent: [], klines: {} };
  }

  // Backwards from the present price, so that every interval ends at the same value.
  #history(symbol, interval, now) {
    const length = INTERVALS[interval] * 1000;
    const volatility = 0.0011 * Math.sqrt(Math.min(INTERVALS[interval], 40_000) / 5) ** 0.75;
    const klines = [];
    let close = symbol.price;
    let drift = 0;
    let activity = 1;
    let at = openTime(interval, now);
    for (let i = 0; i < HISTORY; i++, at -= length) {
      drift = drift * 0.9 + (this.random() - 0.5) * volatility * 0.5;
      activity = Math.max(0.15, activity * 0.9 + this.random() * 0.2 + (this.random() < 0.04 ? 2 : 0));
      const move = drift + (this.random() + this.random() + this.random() - 1.5) * volatility * activity;
      const open = round(close / Math.exp(move));
      const high = round(Math.max(open, close) * (1 + this.random() ** 2 * volatility * activity));
      const low = round(Math.min(open, close) / (1 + this.random() ** 2 * volatility * activity));
      const trades = Math.ceil(activity * 8 * this.random() * Math.sqrt(INTERVALS[interval])) + 1;
      const baseVolume = round((trades * (0.3 + this.random())) / symbol.start);
      klines.push({ ...flat(interval, at, open), high, low, close, baseVolume, quoteVolume: round(baseVolume * close), trades, updates: trades, isFinal: i > 0 });
      close = open;
    }

    symbol.klines[interval] = klines.reverse();
  }
}

function flat(interval, at, price) {
  return {
    interval, openTime: at, endTime: at + INTERVALS[interval] * 1000, open: price, high: price, low: price, close: price, baseVolume: 0, quoteVolume: 0, trades: 0,
    takerBuyBase: 0, takerBuyQuote: 0, firstTradeId: null, lastTradeId: null, updates: 0, revision: 0, isFinal: true,
  };
}

function add(kline, price, base, bought) {
  return {
    ...kline, high: Math.max(kline.high, price), low: Math.min(kline.low, price), close: price,
    baseVolume: round(kline.baseVolume + base), quoteVolume: round(kline.quoteVolume + base * price),
    takerBuyBase: round(kline.takerBuyBase + (bought ? base : 0)), takerBuyQuote: round(kline.takerBuyQuote + (bought ? base * price : 0)),
    trades: kline.trades + 1, updates: kline.updates + 1,
  };
}

function round(value) {
  return Number(value.toPrecision(9));
}

// The feed of the peers: the message that our server sends for an update, at a rate that GET /load?rate=N sets.
'use strict';

const name = (number) => 'LoadLoadLoadLoadLoadLoadLoadLoadLoad' + String(number).padStart(5, '0');
const number = (symbol) => Number(symbol.slice(-5));

function klineData(symbol, seq, stamp) {
  const now = Date.now();
  const count = seq % 100000;
  return {
    symbol: name(symbol), interval: 'm1', subscription_id: null,
    data: {
      time: Math.floor(now / 60000) * 60, open: stamp, high: stamp, low: stamp, close: stamp, volume: 0, is_final: false, update_type: 'realtime',
      update_count: count, base_volume: count + 0.5, quote_volume: count + 0.25, trade_count: count, revision: 0,
    },
    timestamp: now, epoch: now, seq,
  };
}

// The stamp is when the update was due: a server that is late shows it.
function feed(symbols, update) {
  let rate = 0, done = 0, total = 0, startedAt = 0;
  const seqs = new Array(symbols).fill(0);
  const microseconds = () => Math.round((performance.timeOrigin + performance.now()) * 1000);
  setInterval(() => {
    if (rate <= 0) return;
    const due = Math.floor((microseconds() - startedAt) * rate / 1e6);
    while (done < due) {
      done++;
      total++;
      const symbol = total % symbols;
      update(symbol, klineData(symbol, ++seqs[symbol], (startedAt + Math.round(done * 1e6 / rate)) % 10000000000 + 1));
    }
  }, 1);
  return (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    if (url.pathname !== '/load') { response.statusCode = 404; response.end(); return; }
    if (url.searchParams.has('rate')) { rate = Number(url.searchParams.get('rate')); done = 0; startedAt = microseconds(); }
    response.end(`${rate} updates/s\n`);
  };
}

module.exports = { feed, number };

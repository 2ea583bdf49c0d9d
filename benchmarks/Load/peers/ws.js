// npm ws, each message framed once and written to every socket: node ws.js PORT SYMBOLS
'use strict';
const http = require('http');
const { WebSocketServer, Sender } = require('ws');
const { feed, number } = require('./feed');
const [port, symbols] = process.argv.slice(2).map(Number);

const rooms = Array.from({ length: symbols }, () => new Set());
const server = http.createServer(feed(symbols, (symbol, data) => {
  const text = Buffer.from(`{"type":"kline_data","data":${JSON.stringify(data)},"timestamp":${Date.now()}}`);
  const frame = Buffer.concat(Sender.frame(text, { fin: true, opcode: 1, mask: false, readOnly: false, rsv1: false }));
  for (const socket of rooms[symbol]) socket.write(frame);
}));
const wss = new WebSocketServer({ server, perMessageDeflate: false });
wss.on('connection', (client, request) => {
  const socket = request.socket;
  const joined = [];
  client.on('message', (message) => {
    const symbol = number(JSON.parse(message).symbol);
    rooms[symbol].add(socket);
    joined.push(symbol);
    client.send('{"type":"subscription_confirmed"}');
  });
  client.on('close', () => joined.forEach((symbol) => rooms[symbol].delete(socket)));
});
server.listen(port, '127.0.0.1', 4096);

// npm socket.io with rooms: node socketio.js PORT SYMBOLS
'use strict';
const http = require('http');
const { Server } = require('socket.io');
const { feed, number } = require('./feed');
const [port, symbols] = process.argv.slice(2).map(Number);

const server = http.createServer(feed(symbols, (symbol, data) => io.to(String(symbol)).emit('kline_data', data)));
const io = new Server(server, { transports: ['websocket', 'polling'], perMessageDeflate: false });
io.on('connection', (socket) => socket.on('subscribe', (request) => {
  socket.join(String(number(request.symbol)));
  socket.emit('subscription_confirmed', { symbol: request.symbol });
}));
server.listen(port, '127.0.0.1', 4096);

// SPDX-License-Identifier: Apache-2.0

// One WebSocket connection of ws, told what to do in lines of JSON on standard
// input, and telling what happens on standard output. Arguments: dial or listen,
// and the settings as JSON.

'use strict';

const fs = require('fs');
const http = require('http');
const https = require('https');
const readline = require('readline');
const { WebSocket, WebSocketServer } = require('ws');

const how = process.argv[2];
const o = JSON.parse(process.argv[3]);

function say(event, more) {
  fs.writeSync(1, JSON.stringify({ event, ...more }) + '\n');
}

function talk(ws, opened) {
  const commands = readline.createInterface({ input: process.stdin });
  if (opened) say('open', { protocol: ws.protocol });
  else ws.on('open', () => say('open', { protocol: ws.protocol }));
  ws.on('message', (data, binary) => say('message', { text: !binary, data: data.toString('base64') }));
  ws.on('pong', () => say('pong'));
  ws.on('error', (err) => console.error(err));
  ws.on('close', (code, reason) => {
    say('close', { code, reason: reason.toString() });
    process.exit(0);
  });
  commands.on('line', (line) => {
    const c = JSON.parse(line);
    if (c.do === 'ping') return ws.ping('?');
    if (c.do === 'close') return ws.close(c.code, c.reason);
    c.parts.forEach((p, i) => {
      ws.send(Buffer.from(p, 'base64'), { binary: !c.text, fin: i === c.parts.length - 1 });
    });
  });
}

// Short messages are compressed too.
const settings = { perMessageDeflate: o.deflate ? { threshold: 0 } : false, maxPayload: 0 };
if (how === 'dial') {
  if (o.ca) settings.ca = fs.readFileSync(o.ca);
  talk(new WebSocket(o.url, o.protocols, settings), false);
} else {
  const server = o.cert
    ? https.createServer({ cert: fs.readFileSync(o.cert), key: fs.readFileSync(o.key) })
    : http.createServer();
  const handleProtocols = (offered) => o.protocols.find((p) => offered.has(p));
  const wss = new WebSocketServer({ server, handleProtocols, ...settings });
  wss.on('connection', (ws) => talk(ws, true));
  server.listen(0, '127.0.0.1', () => {
    say('listening', { url: `ws${o.cert ? 's' : ''}://127.0.0.1:${server.address().port}/chat` });
  });
}

// A self-hosted app: it reads its connection string once, when its process starts, and signs a call to the service for each
// request that it gets. SIGHUP starts a new process, and ends the old one when that serves.
'use strict';
const cluster = require('node:cluster');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');

const [file, port, azure, folder] = process.argv.slice(2);

if (cluster.isPrimary) {
  const start = () => {
    const worker = cluster.fork();
    return new Promise((done) => worker.once('listening', () => done(worker)));
  };
  let current = start();
  let generation = 0;
  // One after the other, however fast they come.
  const reload = async (old) => {
    const next = await start();
    const ended = new Promise((done) => old.once('disconnect', done));
    old.disconnect();
    await ended;
    generation += 1;
    fs.writeFileSync(`${folder}/generation`, String(generation));
    return next;
  };
  process.on('SIGHUP', () => { current = current.then(reload); });
  current.then(() => fs.writeFileSync(`${folder}/pid`, String(process.pid)));
} else {
  const string = /^Azure__SignalR__ConnectionString=(.*)$/m.exec(fs.readFileSync(file, 'utf8'))[1];
  const host = /Endpoint=https:\/\/([^;]+)/.exec(string)[1];
  const key = /AccessKey=([^;]+)/.exec(string)[1];
  const fingerprint = crypto.createHash('sha256').update(key).digest('hex').slice(0, 16);
  const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = (path) => {
    const now = Math.floor(Date.now() / 1000);
    const text = `${encoded({ alg: 'HS256', typ: 'JWT' })}.${encoded({ aud: `https://${host}${path}`, exp: now + 60 })}`;
    return `${text}.${crypto.createHmac('sha256', key).update(text).digest('base64url')}`;
  };
  const ask = () => new Promise((done, failed) => {
    const path = '/api/hubs/chat/users/ann';
    const headers = { host, authorization: `Bearer ${token(path)}` };
    const request = http.request(`${azure}${path}?api-version=2022-06-01`, { method: 'HEAD', headers }, (answer) => {
      answer.resume();
      done(answer.statusCode);
    });
    request.on('error', failed).end();
  });
  http.createServer(async (_, response) => {
    // There is no such user, which only who brings a good key is told.
    const status = await ask().catch(() => 599);
    response.writeHead(status === 404 ? 200 : status, { 'x-fingerprint': fingerprint }).end();
  }).listen(Number(port), '127.0.0.1');
}

import { connect } from 'node:net';
import { Hono } from 'hono';
import { expect, test } from 'vitest';
import { assembleApp } from '../src/server.ts';
import { startStudio } from './running.ts';

const appThatThrows = (error: Error): { app: Hono; events: string[] } => {
  const events: string[] = [];
  const part = new Hono().get('/', () => {
    throw error;
  });
  const options = { host: '127.0.0.1', allowOrigins: [] };
  return { app: assembleApp([part], options, (event) => events.push(event)), events };
};

test('what nobody foresaw is a 500 that tells the log and not the client', async () => {
  const { app, events } = appThatThrows(new Error('the secret path /x/y'));
  const response = await app.request('http://127.0.0.1/');
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain('secret');
  expect(events).toEqual(['failure']);
});

test.each([
  ['ECONNRESET', 400, []],
  ['ENOSPC', 507, []],
  ['LOCK_TIMEOUT', 503, []],
  ['UPDATE_TIMEOUT', 503, ['retry-exhausted']],
])('an error of code %s, wrapped or not, is answered %i', async (code, status, logged) => {
  const cause = Object.assign(new Error('inner'), { code });
  for (const error of [cause, new Error('outer', { cause })]) {
    const { app, events } = appThatThrows(error);
    const response = await app.request('http://127.0.0.1/');
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.has('retry-after')).toBe(status === 503);
    expect(events).toEqual(logged);
  }
});

test('what is no HTTP at all is answered as problem JSON, and the server lives on', async () => {
  const { url } = await startStudio();
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.end('hello there\r\n\r\n');
  let text = '';
  for await (const piece of socket) text += piece;
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
  expect(text).toContain('application/problem+json');
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
});

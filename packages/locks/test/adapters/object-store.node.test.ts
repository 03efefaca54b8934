import { conditionalPutFront } from '@chunks/locks/testing';
import { afterEach, expect, test } from 'vitest';
import { FrontServer } from '../../../../.ci/testing/front-server.ts';
import { objectStoreLeases, s3Bucket } from '../../src/adapters/object-store.ts';
import type { LeaseDriver } from '../../src/lease-driver.ts';
import { ask as askFor } from '../../src/testing/lease-bench.ts';

const ask = (driver: LeaseDriver, holder: string): ReturnType<LeaseDriver['acquire']> =>
  askFor(driver, 'a/b c', holder);

let server: FrontServer;
/** What befalls a write: it never arrives, or its answer does not. */
let cut: 'unreachable' | 'lost' | undefined;
afterEach(() => server.close());

async function drivers(): Promise<[LeaseDriver, LeaseDriver]> {
  server = await FrontServer.start(
    conditionalPutFront({ fault: ({ method }) => (method === 'PUT' ? cut : undefined) }),
  );
  const url = `http://127.0.0.1:${server.port}/bucket`;
  return [objectStoreLeases(s3Bucket({ url })), objectStoreLeases(s3Bucket({ url }))];
}

test('over HTTP, with the host’s own fetch', async () => {
  const [here, there] = await drivers();
  const answer = await ask(here, 'a');
  const token = 'token' in answer ? answer.token : 0;
  expect(await ask(there, 'b')).toMatchObject({ busy: true, holder: 'a' });
  expect(await here.renew('a/b c', 'a', token, 60_000)).toBe(true);
  expect(await here.release('a/b c', 'a', token)).toBe(true);
  expect(await ask(there, 'b')).toHaveProperty('token');
});

test('a connection cut in mid-acquire, before or after the write, is no answer', async () => {
  const [driver] = await drivers();
  await ask(driver, 'first');
  for (const fault of ['unreachable', 'lost'] as const) {
    cut = fault;
    await expect(askFor(driver, fault, 'a')).rejects.toThrow('fetch failed');
    cut = undefined;
    expect(await askFor(driver, fault, 'a')).toHaveProperty('token');
  }
});

test('a server that is down is out of reach', async () => {
  const [driver] = await drivers();
  await server.close();
  await expect(ask(driver, 'a')).rejects.toThrow('fetch failed');
});

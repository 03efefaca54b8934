import { FaultProxy } from '@chunks/base/testing';
import { createState } from '@chunks/state';
import { type S3Fetch, s3Store } from '@chunks/state/s3';
import { conditionalPutFront } from '@chunks/state/testing';
import { AwsClient } from 'aws4fetch';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FrontServer } from '../../../../.ci/testing/front-server.ts';
import { losesNothing, plainLoopDoubles, throughProxy } from '../support/lost-replies.ts';

/** The front behind a real socket, and a network before it. */
let server: FrontServer;
let proxy: FaultProxy;

beforeEach(async () => {
  server = await FrontServer.start(conditionalPutFront());
  proxy = await FaultProxy.before(server.port);
});

afterEach(async () => {
  await proxy.close();
  await server.close();
});

const store = (fetch?: S3Fetch) => s3Store({ url: `http://127.0.0.1:${proxy.port}/bucket`, fetch });

const clients: [name: string, client: () => S3Fetch | undefined, updates: number][] = [
  ['the host’s own fetch', () => undefined, 280],
  [
    'aws4fetch',
    () => {
      const aws = new AwsClient({ accessKeyId: 'id', secretAccessKey: 'secret', service: 's3' });
      return aws.fetch.bind(aws);
    },
    1_000,
  ],
];

describe.each(clients)('over TCP, with %s', (_, client, updates) => {
  test('every 7th connection is cut after the commit: nothing is lost, doubled or fails', () =>
    losesNothing(
      throughProxy(proxy, () => store(client())),
      { updates, maxAttempts: 200 },
    ));

  test('the plain loop doubles', () =>
    plainLoopDoubles(
      throughProxy(proxy, () => store(client())),
      { updates: 210 },
    ));

  test('a bucket that is down is a failure without a write, and is found again', async () => {
    proxy.down();
    const state = createState({ store: store(client()), initial: () => ({ n: 0 }), retry: { maxMs: 10 } });
    await expect(state.update('a', (draft) => ++draft.n, { maxAttempts: 2 })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    const update = state.update('a', (draft) => ++draft.n, { maxAttempts: 1_000 });
    proxy.up();
    expect(await update).toMatchObject({ version: 1, result: 1 });
  });
});

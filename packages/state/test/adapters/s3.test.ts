import { countListeners, seededRandom } from '@chunks/base/testing';
import { createState, type VersionedStore } from '@chunks/state';
import { type S3Fetch, type S3StoreOptions, s3Store } from '@chunks/state/s3';
import {
  conditionalPutFront,
  type FrontFault,
  historyCases,
  stateContract,
  versionedStoreContract,
} from '@chunks/state/testing';
import { AwsClient } from 'aws4fetch';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';
import { type LossyLink, losesNothing, plainLoopDoubles } from '../support/lost-replies.ts';
import { codeOf } from '../support/stores.ts';

const url = 'https://s3.test/bucket';
const { signal } = new AbortController();
const { capabilities } = s3Store({ url });
const plain = { method: 'GET', headers: {} };

// All options at their defaults, ten resends after 5xx among them; it sends by the host's `fetch`.
const aws = (): AwsClient => new AwsClient({ accessKeyId: 'id', secretAccessKey: 'secret', service: 's3' });

afterEach(() => vi.unstubAllGlobals());

const signing = (front: S3Fetch): S3Fetch => {
  vi.stubGlobal('fetch', front);
  const client = aws();
  return client.fetch.bind(client);
};

describe('s3Store', () => {
  const bench = () => {
    const front = conditionalPutFront();
    return { open: () => s3Store({ url, fetch: front }) };
  };
  for (const { name, run } of versionedStoreContract(bench, capabilities)) test(name, run);
  for (const { name, run } of stateContract(bench, capabilities)) test(name, run);
});

describe('s3Store over aws4fetch', () => {
  const bench = () => {
    const fetch = signing(conditionalPutFront());
    return { open: () => s3Store({ url, fetch }) };
  };
  for (const { name, run } of versionedStoreContract(bench, capabilities)) test(name, run);
  for (const { name, run } of stateContract(bench, capabilities)) test(name, run);
});

const HARD: readonly FrontFault[] = [
  'unreachable',
  'lost',
  'unavailable',
  'broken',
  'conflict',
  'precondition',
  'missing',
];

describe('createState over a bucket that fails or lies to one request in three', () => {
  let seed = 200;
  const bench = () => {
    const random = seededRandom(++seed);
    const fault = ({ method }: Request): FrontFault | undefined => {
      const chosen = random() < 0.33 ? HARD[Math.floor(random() * HARD.length)] : undefined;
      // A read that finds nothing where something is: that store has lost its data.
      return chosen === 'missing' && method === 'GET' ? 'unavailable' : chosen;
    };
    const front = conditionalPutFront({ fault });
    return { open: () => s3Store({ url, fetch: front }) };
  };
  for (const { name, run } of stateContract(bench, capabilities)) test(name, run);
});

describe.each<[name: string, client: (front: S3Fetch) => S3Fetch]>([
  ['a plain fetch', (front) => front],
  ['aws4fetch', signing],
])('random histories, one request in five goes wrong, with %s', (_, client) => {
  let seed = 500;
  const faults: readonly FrontFault[] = ['unreachable', 'lost', 'unavailable', 'broken', 'conflict', 'precondition'];
  const bench = () => {
    const random = seededRandom(++seed);
    const fault = () => (random() < 0.2 ? faults[Math.floor(random() * faults.length)] : undefined);
    const fetch = client(conditionalPutFront({ fault }));
    return { open: () => s3Store({ url, fetch }) };
  };
  // The two that refuse what would fit are heard as conflicts, like a resend.
  for (const { name, run } of historyCases(bench, { random: seededRandom(seed), mayResend: true })) test(name, run);
});

/** A front on which every so manieth write goes wrong. */
function lossy(fault: FrontFault, client: (front: S3Fetch) => S3Fetch = (front) => front): LossyLink {
  let every = Number.POSITIVE_INFINITY;
  let [writes, lost] = [0, 0];
  const front = conditionalPutFront({
    fault({ method, url: target }) {
      if (method !== 'PUT' || target.endsWith('~probe') || ++writes % every !== 0) return undefined;
      lost++;
      return fault;
    },
  });
  const fetch = client(front);
  return {
    open: () => s3Store({ url, fetch }),
    loseEvery: (number) => {
      every = number;
    },
    heal: () => {
      every = Number.POSITIVE_INFINITY;
    },
    lost: () => lost,
  };
}

describe.each<[fault: FrontFault, name: string, client: (front: S3Fetch) => S3Fetch]>([
  ['lost', 'a plain fetch', (front) => front],
  ['broken', 'a plain fetch', (front) => front],
  ['lost', 'aws4fetch', signing],
  ['broken', 'aws4fetch, which sends again', signing],
])('every 7th reply of a write is %s, with %s', (fault, _, client) => {
  // Fewer in a Worker, which only shows that the same happens there.
  const updates = Math.min(1_000, runs(1_000));
  test('nothing is lost, doubled or fails', () => losesNothing(lossy(fault, client), { updates, maxAttempts: 200 }));
  test('the plain loop doubles', () => plainLoopDoubles(lossy(fault, client), { updates: 210 }));
});

/** One bucket, with a hand on its network and an eye on every request. */
class Rig {
  readonly requests: string[] = [];
  /** For the coming requests, in their order; then all goes well. */
  readonly faults: (FrontFault | undefined)[] = [];
  /** Which requests have no condition here. */
  ignores: (request: Request) => boolean = () => false;
  readonly fetch: S3Fetch;

  constructor(pageSize?: number) {
    const fault = (request: Request): FrontFault | undefined => {
      const { pathname, search } = new URL(request.url);
      this.requests.push(`${request.method} ${search === '' ? pathname.replace('/bucket/state/', '') : 'list'}`);
      return this.ignores(request) ? 'unconditional' : this.faults.shift();
    };
    this.fetch = conditionalPutFront({ fault, pageSize });
  }

  open(options: Partial<S3StoreOptions> = {}): VersionedStore {
    return s3Store({ url, fetch: this.fetch, ...options });
  }

  /** What has been asked since the last look. */
  asked(): string[] {
    return this.requests.splice(0);
  }
}

const write = (store: VersionedStore, key: string, value: string, expected?: string) =>
  store.write(key, value, expected, { signal });
const put = async (store: VersionedStore, key: string, value = '1', expected?: string): Promise<string> => {
  const reply = await write(store, key, value, expected);
  if ('conflict' in reply) throw new Error('conflict');
  return reply.revision;
};
const listed = async (store: VersionedStore, prefix = ''): Promise<string[]> => {
  const keys: string[] = [];
  for await (const key of store.list?.(prefix, { signal }) ?? []) keys.push(key);
  return keys;
};

describe('requests', () => {
  test('one to read, one to write, one to remove, one for a page of a list', async () => {
    const rig = new Rig(3);
    const store = rig.open({ probe: false });
    expect(await store.read('a/b', { signal })).toBe(undefined);
    expect(rig.asked()).toEqual(['GET a~2fb.json']);
    const first = await put(store, 'a/b');
    expect(rig.asked()).toEqual(['PUT a~2fb.json']);
    const second = await put(store, 'a/b', '1', first);
    expect(await write(store, 'a/b', '1', first)).toEqual({ conflict: true });
    expect(rig.asked()).toEqual(['PUT a~2fb.json', 'PUT a~2fb.json']);
    expect(await store.remove?.('a/b', second, { signal })).toBe(true);
    expect(rig.asked()).toEqual(['DELETE a~2fb.json']);
    for (const key of ['a', 'b', 'c', 'd']) await put(store, key);
    rig.asked();
    expect(await listed(store)).toEqual(['a', 'b', 'c', 'd']);
    expect(rig.asked()).toEqual(['GET list', 'GET list']);
  });

  test('the first write and the first removal prove the bucket, and others at the same time wait for that', async () => {
    const rig = new Rig();
    const store = rig.open();
    const [revision = ''] = await Promise.all([put(store, 'a'), put(store, 'b')]);
    const probe = ['PUT ~probe', 'PUT ~probe', 'PUT ~probe'];
    expect(rig.asked()).toEqual([...probe, 'PUT a.json', 'PUT b.json']);
    expect(await store.remove?.('a', revision, { signal })).toBe(true);
    expect(rig.asked()).toEqual(['PUT ~probe', 'DELETE ~probe', 'DELETE a.json']);
    await put(store, 'c');
    expect(rig.asked()).toEqual(['PUT c.json']);
    // The object is there by now.
    await put(rig.open(), 'd');
    expect(rig.asked()).toEqual(['PUT ~probe', 'PUT ~probe', 'PUT d.json']);
    expect(await listed(store)).toEqual(['b', 'c', 'd']);
  });

  test('conditions are signed, and the signal goes along', async () => {
    const front = conditionalPutFront();
    const signed: string[] = [];
    const { signal } = new AbortController();
    const signals: unknown[] = [];
    const fetch: S3Fetch = async (target, init) => {
      signals.push(init.signal);
      const request = await aws().sign(target, init);
      signed.push(/SignedHeaders=([^,]*)/.exec(request.headers.get('authorization') ?? '')?.[1] ?? '');
      return front(request);
    };
    const store = s3Store({ url, fetch, probe: false });
    const reply = await store.write('a b/c+d', '1', undefined, { signal });
    const revision = 'revision' in reply ? reply.revision : '';
    expect(await store.write('a b/c+d', '2', revision, { signal })).toHaveProperty('revision');
    expect((await store.read('a b/c+d', { signal }))?.value).toBe('2');
    expect(signed).toEqual([
      expect.stringContaining('if-none-match'),
      expect.stringContaining('if-match'),
      expect.stringContaining('cache-control'),
    ]);
    expect(signals).toEqual([signal, signal, signal]);
  });

  test('nothing is left on a signal', async () => {
    const rig = new Rig();
    const controller = new AbortController();
    const listeners = countListeners(controller.signal);
    const store = rig.open();
    await store.write('a', '1', undefined, controller);
    await store.read('a', controller);
    for await (const key of store.list?.('', controller) ?? []) expect(key).toBe('a');
    // The front copies each request, which listens until it is collected; the store itself adds none.
    expect(listeners()).toBeLessThanOrEqual(rig.requests.length);
  });
});

describe('a bucket that ignores conditions', () => {
  test.each(['if-match', 'if-none-match'])('%s: nothing is written there', async (header) => {
    const rig = new Rig();
    rig.ignores = ({ headers }) => headers.has(header);
    const store = rig.open();
    await expect(put(store, 'a')).rejects.toMatchObject({ message: /ignores If-Match/, definite: true });
    expect(rig.asked().every((asked) => asked === 'PUT ~probe')).toBe(true);
    const state = createState({ store, initial: () => ({ n: 0 }), retry: { maxMs: 2 } });
    await expect(state.update('a', (draft) => ++draft.n, { maxAttempts: 2 })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    expect(await listed(store)).toEqual([]);
    // Once it has been mended, the same store finds out.
    rig.ignores = () => false;
    await put(store, 'a');
  });

  test('on removals alone: it is written there, and not removed', async () => {
    const rig = new Rig();
    rig.ignores = ({ method }) => method === 'DELETE';
    const store = rig.open();
    const revision = await put(store, 'a');
    for (const expected of [revision, '0', revision]) {
      await expect(store.remove?.('a', expected, { signal })).rejects.toThrow('ignores If-Match');
    }
    expect(await listed(store)).toEqual(['a']);
    rig.ignores = () => false;
    expect(await store.remove?.('a', '0', { signal })).toBe(false);
    expect(await store.remove?.('a', revision, { signal })).toBe(true);
  });

  test('a proof that fails proves nothing, writes nothing, and is tried again', async () => {
    const rig = new Rig();
    const store = rig.open();
    for (const faults of [['unreachable'], [undefined, 'broken'], ['unavailable']] as FrontFault[][]) {
      rig.faults.push(...faults);
      await expect(put(store, 'a')).rejects.toMatchObject({ definite: true });
    }
    const revision = await put(store, 'a');
    rig.faults.push(undefined, 'unavailable');
    await expect(store.remove?.('a', revision, { signal })).rejects.toThrow('S3 answered 503 SlowDown to DELETE');
    expect(await store.remove?.('a', revision, { signal })).toBe(true);
  });

  test('one that hangs hangs nobody but whoever it was for', async () => {
    const front = conditionalPutFront();
    const hangs = [true, false, false, false, true];
    const fetch: S3Fetch = (target, init) =>
      target.endsWith('~probe') && hangs.shift() ? new Promise(() => undefined) : front(target, init);
    const store = s3Store({ url, fetch });
    const cut = (start: (o: { signal: AbortSignal }) => unknown): void => {
      const controller = new AbortController();
      void start({ signal: controller.signal });
      controller.abort();
    };
    cut((o) => store.write('a', '1', undefined, o));
    const revision = await put(store, 'a');
    cut((o) => store.remove?.('a', revision, o));
    expect(await store.remove?.('a', revision, { signal })).toBe(true);
    expect(hangs).toEqual([]);
  });
});

const answering = (status: number, body = '', headers: Record<string, string> = { etag: '"e"' }): VersionedStore =>
  s3Store({ url, probe: false, fetch: async () => new Response(body, { status, headers }) });

describe('answers', () => {
  test.each<[status: number, body: string, read: string, create: string, replace: string, remove: string]>([
    [412, '', 'S3 answered 412', 'conflict', 'conflict', 'false'],
    [409, '', 'S3 answered 409', 'conflict', 'conflict', 'false'],
    [404, '<Code>NoSuchKey</Code>', 'undefined', 'S3 answered 404 NoSuchKey', 'conflict', 'false'],
    ...[
      [404, '<Code>NoSuchBucket</Code>', 'S3 answered 404 NoSuchBucket'],
      [403, '<Code>AccessDenied</Code>', 'S3 answered 403 AccessDenied'],
      [500, '<Code>InternalError</Code>', 'S3 answered 500 InternalError'],
      [503, '<Code>SlowDown</Code>', 'S3 answered 503 SlowDown'],
      [429, '', 'S3 answered 429'],
      [301, '', 'S3 answered 301'],
    ].map(([status, body, told]): [number, string, string, string, string, string] => {
      const all = String(told);
      return [Number(status), String(body), all, all, all, all];
    }),
  ])('%i %s: somebody was first, nothing there, or unknown', async (status, body, read, create, replace, remove) => {
    const store = answering(status, body);
    const told = (call: Promise<unknown> | undefined): Promise<string> =>
      Promise.resolve(call).then(
        (value) => (value instanceof Object && 'conflict' in value ? 'conflict' : String(value)),
        // A client may have sent it before, and that may have been carried out.
        (error) => (error.definite === undefined ? error.message.split(' to ')[0] : 'definite'),
      );
    expect(await told(store.read('k', { signal }))).toBe(read);
    expect(await told(write(store, 'k', '1'))).toBe(create);
    expect(await told(write(store, 'k', '1', 'e'))).toBe(replace);
    expect(await told(store.remove?.('k', 'e', { signal }))).toBe(remove);
  });

  test.each([{}, { etag: 'W/"e"' }])('without a strong ETag: %j', async (headers) => {
    const store = answering(200, '{}', headers);
    await expect(store.read('k', { signal })).rejects.toThrow('S3 gave no strong ETag');
    await expect(write(store, 'k', '1')).rejects.toThrow('S3 gave no strong ETag');
  });

  test.each([
    [200, '<html>', 'S3 answered 200 to GET ?list'],
    [503, '<Code>SlowDown</Code>', 'S3 answered 503 SlowDown to GET ?list'],
    // The older ListObjects, which heeds no token.
    [200, '<IsTruncated>true</IsTruncated><Key>state/a.json</Key>', 'without a NextContinuationToken'],
  ])('a list that is none: %i %s', async (status, body, message) => {
    await expect(listed(answering(status, body))).rejects.toThrow(message);
  });

  test.each<FrontFault>(HARD)('%s in the midst of a list is no end of it', async (fault) => {
    const rig = new Rig(1);
    const store = rig.open({ probe: false });
    await put(store, 'a');
    await put(store, 'b');
    rig.faults.push(undefined, fault);
    await expect(listed(store)).rejects.toBeInstanceOf(Error);
  });
});

describe('objects', () => {
  test('hold the record as JSON for any tool, and take what a tool wrote', async () => {
    const rig = new Rig();
    const store = rig.open({ prefix: 'app/' });
    const state = createState({ store, initial: () => ({ n: 0 }) });
    await state.update('a/b', (draft) => ++draft.n);
    const object = `${url}/app/a~2fb.json`;
    const text = await (await rig.fetch(object, plain)).text();
    expect(JSON.parse(text)).toMatchObject({ version: 1, state: { n: 1 } });
    await rig.fetch(object, {
      ...plain,
      method: 'PUT',
      body: JSON.stringify({ ...JSON.parse(text), state: { n: 7 } }),
    });
    expect((await state.update('a/b', (draft) => ++draft.n)).result).toBe(8);
  });

  test('that are no records are not listed', async () => {
    const rig = new Rig();
    const store = rig.open();
    for (const name of ['state/readme.txt', 'state/a b.json', 'stat', 'state2/x.json']) {
      await rig.fetch(`${url}/${encodeURIComponent(name)}`, { ...plain, method: 'PUT', body: 'x' });
    }
    for (const key of ['.', '..', 'a', 'a/../b', 'a.json']) await put(store, key);
    expect((await listed(store)).sort()).toEqual(['.', '..', 'a', 'a.json', 'a/../b']);
    // An ending of the names is none of the keys.
    expect(await listed(store, 'a.j')).toEqual(['a.json']);
  });
});

test('records are listed, and what is left of deleted ones is purged', async () => {
  const rig = new Rig();
  const store = rig.open();
  const state = createState({ store, initial: () => ({ n: 0 }) });
  for (const key of ['a/1', 'a/2', 'b/1']) await state.update(key, (draft) => ++draft.n);
  await state.delete('a/1');
  const keys: string[] = [];
  for await (const key of state.list('a/')) keys.push(key);
  expect(keys).toEqual(['a/2']);
  expect((await listed(store)).sort()).toEqual(['a/1', 'a/2', 'b/1']);
  expect(await state.purge('', { olderThanMs: 0 })).toBe(1);
  expect((await listed(store)).sort()).toEqual(['a/2', 'b/1']);
});

test('a longer prefix leaves less for the key', () => {
  const bytes = (prefix?: string) => s3Store({ url, prefix }).capabilities.maxKeyBytes;
  expect([bytes(), bytes(''), bytes('p'.repeat(200))]).toEqual([337, 339, 273]);
});

test.each<[options: unknown, message: string]>([
  [{}, 'url must be a string, but is undefined'],
  [{ url: 'bucket' }, 'url must be an http URL without a query, but is "bucket"'],
  [{ url, fetch: 1 }, 'fetch must be a function, but is 1'],
  [{ url, prefix: 'a//b' }, 'prefix must be of letters, digits and _-./'],
])('refuses %j', (options, message) => {
  expect(() => s3Store(options as S3StoreOptions)).toThrow(message);
});

test('a bucket that cannot be reached: a failure, and nothing written', async () => {
  const store = s3Store({ url, fetch: () => Promise.reject(new TypeError('fetch failed')) });
  const state = createState({ store, initial: () => ({}), retry: { maxMs: 2 } });
  expect(await state.update('a', () => 1, { maxAttempts: 2 }).catch(codeOf)).toBe('STORE_UNAVAILABLE');
});

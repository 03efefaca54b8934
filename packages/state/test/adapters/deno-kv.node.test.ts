import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createState } from '@chunks/state';
import { type DenoKvAtomic, type DenoKvClient, denoKvStore } from '@chunks/state/deno-kv';
import { historyCases, stateContract, versionedStoreContract } from '@chunks/state/testing';
import { openKv } from '@deno/kv';
import { afterAll, describe, expect, test } from 'vitest';
import { isSoak } from '../../../../.ci/testing/runs.ts';
import { listsByPrefix } from '../support/listing.ts';
import { behindFaults, losesNothing, plainLoopDoubles } from '../support/lost-replies.ts';
import { QUICK_FAULTS } from '../support/stores.ts';

const { signal } = new AbortController();
const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** A database of its own: SQLite below Deno's own native code. */
async function database(): Promise<DenoKvClient & { close(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'chunks-state-'));
  folders.push(folder);
  return openKv(join(folder, 'kv.db'));
}

const bench = async () => {
  const kv = await database();
  return { open: () => denoKvStore(kv), close: () => kv.close() };
};
const { capabilities } = denoKvStore({ atomic: () => undefined } as never);

describe('denoKvStore on @deno/kv', () => {
  for (const { name, run } of versionedStoreContract(bench, capabilities)) test(name, run);
  for (const { name, run } of stateContract(bench, capabilities)) test(name, run);

  const operations = isSoak ? 2_000 : 200;
  for (const { name, run } of historyCases(bench, { operations })) test(name, run);
  for (const { name, run } of historyCases(bench, { operations, faults: QUICK_FAULTS }))
    test(`${name}, with faults`, run);

  test('lists whatever begins with a prefix, whatever that is', async () => {
    await listsByPrefix(async () => {
      const kv = await database();
      return { store: denoKvStore(kv), end: () => kv.close() };
    });
  });

  test('a commit whose reply is lost is found: nothing is lost or doubled, and the plain loop doubles', async () => {
    const kv = await database();
    const run = { updates: isSoak ? 1_000 : 280 };
    await losesNothing(
      behindFaults(() => denoKvStore(kv), 'lose-reply'),
      run,
    );
    await plainLoopDoubles(
      behindFaults(() => denoKvStore(kv), 'lose-reply'),
      run,
    );
    kv.close();
  });

  test('the limits are those of the database, to the byte', async () => {
    const kv = await database();
    const store = denoKvStore(kv);
    const { maxValueBytes = 0, maxKeyBytes = 0 } = capabilities;
    const ascii = JSON.stringify('x'.repeat(maxValueBytes - 2));
    const wide = JSON.stringify(`漢${'x'.repeat(maxValueBytes - 5)}`);
    for (const [key, value] of [
      ['ascii', ascii],
      ['wide', wide],
    ] as const) {
      expect(await store.write(key, value, undefined, { signal })).toHaveProperty('revision');
      expect((await store.read(key, { signal }))?.value).toBe(value);
      await expect(store.write(`${key} more`, `${value} `, undefined, { signal })).rejects.toThrow();
    }
    // What takes the most room: each of these takes two bytes for one, or six for three.
    for (const [unit, bytes] of [
      ['\0', 1],
      ['\\', 1],
      ['\ud800', 3],
    ] as const) {
      const key = unit.repeat(Math.floor(maxKeyBytes / bytes));
      expect(await store.write(key, '1', undefined, { signal })).toHaveProperty('revision');
      expect((await store.read(key, { signal }))?.value).toBe('1');
      await expect(store.write(`${key}${unit}`, '1', undefined, { signal })).rejects.toThrow();
    }
    kv.close();
  });

  test('what is too large is refused before it is sent, and the rest of its commit is written', async () => {
    const kv = await database();
    const state = createState({ store: denoKvStore(kv), initial: () => ({ text: '' }) });
    const ends = await Promise.allSettled([
      state.update('batch-7', (draft) => void (draft.text += 'a')),
      state.update('batch-7', (draft) => void (draft.text += 'x'.repeat(65_536))),
    ]);
    expect(ends[1]).toMatchObject({ reason: { code: 'VALUE_TOO_LARGE' } });
    // Stored as the bytes of its JSON, where any tool finds it.
    const { value } = await kv.get(['chunks_state', 'batch-7'], { consistency: 'strong' });
    expect(JSON.parse(new TextDecoder().decode(value as Uint8Array))).toMatchObject({ state: { text: 'a' } });
    await state.close();
    kv.close();
  });
});

describe('what is asked of the database', () => {
  /** Tells what it was asked, and answers as it is told. */
  function fake() {
    const asked: string[] = [];
    const streams: ReadableStreamDefaultController<unknown>[] = [];
    const counts = { cancelled: 0 };
    const ask = (...words: readonly unknown[]): DenoKvAtomic => {
      asked.push(words.join(' '));
      return atomic;
    };
    const atomic: DenoKvAtomic = {
      check: ({ key, versionstamp }) => ask('check', key.join('|'), versionstamp ?? 'absent'),
      set: (key) => ask('set', key.join('|')),
      delete: (key) => ask('delete', key.join('|')),
      commit: async () => {
        ask('commit');
        return { ok: true, versionstamp: '01' };
      },
    };
    const kv: DenoKvClient = {
      get: async (key, { consistency }) => {
        ask('get', key.join('|'), consistency);
        return { key, value: null, versionstamp: null };
      },
      atomic: () => atomic,
      list: async function* () {},
      watch: () =>
        new ReadableStream({
          start: (controller) => void streams.push(controller),
          cancel: () => void counts.cancelled++,
        }),
    };
    return { kv, asked, streams, counts };
  }

  test('one transaction a write, one strong read a read', async () => {
    const { kv, asked } = fake();
    const store = denoKvStore(kv);
    await store.read('k', { signal });
    await store.write('k', '1', undefined, { signal });
    await store.write('k', '2', '01', { signal });
    await store.remove?.('k', '02', { signal });
    const key = 'chunks_state|k';
    expect(asked).toEqual([
      `get ${key} strong`,
      ...[`check ${key} absent`, `set ${key}`, 'commit'],
      ...[`check ${key} 01`, `set ${key}`, 'commit'],
      ...[`check ${key} 02`, `delete ${key}`, 'commit'],
    ]);
  });

  test('a watch lets go of its stream, whoever ends it', async () => {
    const { kv, streams, counts } = fake();
    const watch = (stop = new AbortController()) =>
      denoKvStore(kv).watch?.('k', { signal: stop.signal })[Symbol.asyncIterator]() as AsyncIterator<void>;
    const left = watch();
    const ticked = left.next();
    streams[0]?.enqueue([]);
    expect((await ticked).done).toBe(false);
    await left.return?.();
    expect(counts.cancelled).toBe(1);
    const stop = new AbortController();
    const aborted = watch(stop).next();
    stop.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    expect(counts.cancelled).toBe(2);
    // That the database ends it does not mean that there are no more changes.
    const ended = watch().next();
    streams[2]?.close();
    await expect(ended).rejects.toThrow('Deno KV has ended the watch');
    const failed = watch().next();
    streams[3]?.error(new Error('cut'));
    await expect(failed).rejects.toThrow('cut');
  });

  test('something else is refused at once', () => {
    expect(() => denoKvStore(undefined as never)).toThrow('kv must be a Deno.Kv, but is undefined');
    expect(() => denoKvStore({} as never)).toThrow('kv must be a Deno.Kv, but is an object of Object');
  });
});

import { env } from 'cloudflare:workers';
import { appendStoreContract } from '@chunks/state/testing';
import { type AppendStore, workersKvLog } from '@chunks/state/workers-kv';
import { describe, expect, test } from 'vitest';
import { EventLog } from '../../src/event-log.ts';

const PAGE_SIZE = 40;
let spaces = 0;

/** A part of the namespace of its own: all tests share one. */
function space(): AppendStore {
  // Small pages, because each write takes its time.
  const store = workersKvLog({
    get: (key, type) => env.KV.get(key, type),
    put: (key, value) => env.KV.put(key, value),
    delete: (key) => env.KV.delete(key),
    list: (o) => env.KV.list({ ...o, limit: PAGE_SIZE }),
  });
  const prefix = `test ${spaces++}:`;
  return {
    name: store.name,
    put: (key, value) => store.put(prefix + key, value),
    get: (key) => store.get(prefix + key),
    async list(start, cursor) {
      const page = await store.list(prefix + start, cursor);
      return { ...page, keys: page.keys.map((key) => key.slice(prefix.length)) };
    },
    delete: (key) => store.delete(prefix + key),
  };
}

describe('workersKvLog on workerd', () => {
  for (const { name, run } of appendStoreContract(() => ({ store: space(), pageSize: PAGE_SIZE }))) test(name, run);

  test('a log of two writers is folded, deleted and whole all the while', async () => {
    const store = space();
    const open = (writerId: string) =>
      new EventLog({
        store,
        writerId,
        // Locally nothing is late.
        graceMs: 1,
        initial: () => ({ names: [] as string[] }),
        reduce: ({ names }, name: string) => void names.push(name),
      });
    const [one, two] = [open('one'), open('two/é')];
    const names = Array.from({ length: 40 }, (_, i) => `event ${i}`);
    let removed = 0;
    for (let round = 0; round < 4; round++) {
      const mine = names.slice(round * 10, round * 10 + 10);
      await Promise.all(mine.map((name, i) => (i % 2 ? one : two).append('log/é', name, { id: name })));
      await one.append('log/é', mine[0] as string, { id: mine[0] });
      await new Promise((resolve) => setTimeout(resolve, 5));
      const ends = await Promise.all([one.compact('log/é'), two.compact('log/é')]);
      removed += Math.max(...ends.map((end) => end.removed));
      const { state, events } = await two.read('log/é', { atLeast: mine[9] });
      expect(state.names.sort()).toEqual(names.slice(0, round * 10 + 10).sort());
      expect(events).toBe(round * 10 + 10);
    }
    expect(removed).toBeGreaterThan(10);
    expect((await one.read('log')).events).toBe(0);
  });
});

import { seededRandom } from '@chunks/base/testing';
import { createState, isStateError, type State, type VersionedStore } from '@chunks/state';
import { expect, vi } from 'vitest';

/** A server that can be killed without a farewell, and the processes on it. */
export interface MortalBench {
  readonly server: { kill(): Promise<void>; start(): Promise<unknown> };
  /** One more process: a store with a client of its own, as its users would make it. */
  open(): Promise<ProcessOnIt> | ProcessOnIt;
}

export interface ProcessOnIt {
  readonly store: VersionedStore;
  /** Lets go of the client; the store is closed by then. */
  end(): unknown;
}

/** What became of the updates; that none was lost or doubled was seen before. */
export interface KillSoakReport {
  readonly kills: number;
  readonly acknowledged: number;
  /** Acknowledged although no reply said so. */
  readonly recovered: number;
  /** UPDATE_AMBIGUOUS, and how many of those are in the record. */
  readonly ambiguous: number;
  readonly ambiguousApplied: number;
  /** Other errors: surely not applied. */
  readonly refused: number;
}

interface End {
  readonly key: string;
  readonly id: string;
  /** 'OK', or the code of the error. */
  readonly code: string;
  readonly version: number;
  readonly index: number;
}

interface Log {
  log: string[];
}

const PROCESSES = 3;
const UPDATERS = 4;
const KEYS = ['red', 'green', 'blue'];
// Far longer than any server here takes to come back: only a hang reaches it.
const PATIENCE = { timeout: 60_000, interval: 5 };

const pass = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

// A client that waits for its server by itself is cut soon, so that the soak is about kills and not about waiting.
const stateOn = (store: VersionedStore): State<Log> =>
  createState({ store, initial: () => ({ log: [] as string[] }), attemptTimeoutMs: 1_000 });

const seen = (ends: readonly End[], code: string): End[] => ends.filter((end) => end.code === code);

/** One task of a process: update after update, each writing its own name down. */
async function updateInTurn(state: State<Log>, name: string, ends: End[], isOver: () => boolean): Promise<void> {
  for (let i = 0; !isOver(); i++) {
    const id = `${name}-${i}`;
    const key = KEYS[i % KEYS.length] as string;
    // Some give up early, so that every kind of end is met.
    const maxAttempts = i % 4 === 0 ? 2 : 1_000;
    const end = await state
      .update(key, (draft) => void draft.log.push(id), { maxAttempts, timeoutMs: 20_000 })
      .then(
        ({ version, index }) => ({ code: 'OK', version, index }),
        (error: unknown) => {
          // A server that forgets is no server for this: see below.
          if (!isStateError(error) || error.code === 'STORE_REGRESSED') throw error;
          return { code: error.code as string, version: 0, index: 0 };
        },
      );
    ends.push({ key, id, ...end });
    if (end.code !== 'OK') await pass(20);
  }
}

/** Every update once, not at all, or reported; in the order of (version, index). */
function checkKey(own: readonly End[], { log, version }: { log: string[]; version: number }): void {
  const times = new Map<string, number>();
  for (const id of log) times.set(id, (times.get(id) ?? 0) + 1);
  const wrong = own.filter(({ id, code }) => {
    const found = times.get(id) ?? 0;
    return code === 'UPDATE_AMBIGUOUS' ? found > 1 : found !== (code === 'OK' ? 1 : 0);
  });
  expect(wrong, 'lost or doubled').toEqual([]);
  expect([...times.keys()].filter((id) => !own.some((end) => end.id === id))).toEqual([]);
  const done = seen(own, 'OK').sort((a, b) => a.version - b.version || a.index - b.index);
  const acknowledged = new Set(done.map(({ id }) => id));
  expect(log.filter((id) => acknowledged.has(id))).toEqual(done.map(({ id }) => id));
  // A version that nobody was told of carried updates that nobody was told of.
  const versions = new Set(done.map((end) => end.version));
  expect(version - versions.size).toBeLessThanOrEqual(log.length - done.length);
  expect(Math.max(...versions)).toBeLessThanOrEqual(version);
}

/**
 * Kills the server that often while three processes of four updaters each are at work, each time at a random place, and
 * starts it again. For a server that keeps what it acknowledged: nothing acknowledged is lost, nothing is there twice,
 * and whatever cannot be told was reported as UPDATE_AMBIGUOUS.
 */
export async function killSoak({ server, open }: MortalBench, o: { kills: number }): Promise<KillSoakReport> {
  const random = seededRandom(o.kills);
  const opened = await Promise.all(Array.from({ length: PROCESSES + 1 }, () => open()));
  const [reader, ...states] = opened.map(({ store }) => stateOn(store)) as [State<Log>, ...State<Log>[]];
  const ends: End[] = [];
  let isOver = false;
  const tasks = states.flatMap((state, process) =>
    Array.from({ length: UPDATERS }, (_, task) => updateInTurn(state, `${process}.${task}`, ends, () => isOver)),
  );
  const working = Promise.all(tasks);
  const moreDone = async (count: number): Promise<void> => {
    const target = seen(ends, 'OK').length + count;
    const reached = vi.waitFor(() => expect(seen(ends, 'OK').length).toBeGreaterThanOrEqual(target), PATIENCE);
    // A task that fails ends the soak at once.
    await Promise.race([reached, working]);
  };
  try {
    for (let kill = 0; kill < o.kills; kill++) {
      await moreDone(20 + Math.floor(random() * 60));
      await server.kill();
      await pass(random() * 100);
      await server.start();
    }
    await moreDone(20);
  } finally {
    isOver = true;
    await Promise.allSettled(tasks);
  }
  await working;
  for (const key of KEYS) {
    const record = await reader.get(key);
    const own = ends.filter((end) => end.key === key);
    checkKey(own, { log: record?.state.log ?? [], version: record?.version ?? 0 });
  }
  const ambiguous = seen(ends, 'UPDATE_AMBIGUOUS');
  const logs = await Promise.all(KEYS.map(async (key) => (await reader.get(key))?.state.log ?? []));
  const all = new Set(logs.flat());
  const acknowledged = seen(ends, 'OK').length;
  for (const state of [reader, ...states]) await state.close();
  for (const { end } of opened) await end();
  return {
    kills: o.kills,
    acknowledged,
    recovered: states.reduce((sum, state) => sum + state.stats().recovered, 0),
    ambiguous: ambiguous.length,
    ambiguousApplied: ambiguous.filter(({ id }) => all.has(id)).length,
    refused: ends.length - acknowledged - ambiguous.length,
  };
}

/**
 * For a server that loses, when it is killed, what it acknowledged: whoever has seen that says so, each time, and builds
 * nothing on what is left; who comes new goes on from there.
 */
export async function forgettingIsReported({ server, open }: MortalBench): Promise<void> {
  const [old, fresh] = [await open(), await open()];
  const [state, other] = [stateOn(old.store), stateOn(fresh.store)];
  const push = (id: string) => (draft: Log) => void draft.log.push(id);
  for (let i = 1; i <= 20; i++) expect((await state.update('key', push(`${i}`))).version).toBe(i);
  await server.kill();
  await server.start();
  const regressed = { code: 'STORE_REGRESSED', lastVersion: 20 };
  await expect(state.get('key')).rejects.toMatchObject(regressed);
  const together = await Promise.allSettled(['a', 'b', 'c'].map((id) => state.update('key', push(id))));
  for (const end of together) expect(end).toMatchObject({ status: 'rejected', reason: regressed });
  const left = await other.get('key');
  expect(left?.version ?? 0).toBeLessThan(20);
  expect(left?.state.log ?? []).toEqual(Array.from({ length: left?.version ?? 0 }, (_, i) => `${i + 1}`));
  expect((await other.update('key', push('new'))).version).toBe((left?.version ?? 0) + 1);
  await expect(state.update('key', push('d'))).rejects.toMatchObject(regressed);
  for (const one of [state, other]) await one.close();
  for (const { end } of [old, fresh]) await end();
}

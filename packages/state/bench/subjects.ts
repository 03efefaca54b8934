// The stores, and the three ways to update a record in one.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createState, memoryStore, type VersionedStore } from '@chunks/state';
import { listens } from '../../../.ci/testing/listens.ts';
import { passOn } from '../src/testing/pass-on.ts';
import { type OpenStore, openStore, type StoreAddress } from '../test/processes/stores.ts';
import { type Change, fullJitter, inTurn, type Tuning } from './by-hand.ts';

/** A store to be measured on. */
export interface Ground extends OpenStore {
  readonly title: string;
  /** For other processes; undefined where there can be none. */
  readonly address: StoreAddress | undefined;
}

const PORTS = { redis: 6379, postgres: 5432, nats: 4222 } as const;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const nothing = (): void => undefined;

/** Counts its writes. */
export function counted(store: VersionedStore): VersionedStore & { writes: number } {
  const counting = {
    ...passOn(store),
    writes: 0,
    write: (...all: Parameters<VersionedStore['write']>) => {
      counting.writes++;
      return store.write(...all);
    },
  };
  return counting;
}

/** Across a network: 1 to 3 ms a call. */
function remote(): VersionedStore {
  const inner = memoryStore();
  const away = () => sleep(1 + Math.random() * 2);
  return {
    ...inner,
    read: (...all) => away().then(() => inner.read(...all)),
    write: (...all) => away().then(() => inner.write(...all)),
  };
}

/** All that there are on this machine; says which are not. */
export async function grounds(): Promise<{ all: readonly Ground[]; close(): Promise<void> }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'chunks-state-bench-'));
  const plain = (title: string, store: VersionedStore): Ground => ({
    title,
    store,
    address: undefined,
    close: nothing,
    wipe: nothing,
  });
  const all = [plain('memory', memoryStore()), plain('a store 1–3 ms away', remote())];
  const open = async (title: string, kind: StoreAddress['kind'], at: string) => {
    const address = { kind, at, name: `chunks_state_bench_${process.pid}` };
    all.push({ title, address, ...(await openStore(address)) });
  };
  await open('SQLite', 'sqlite', path.join(folder, 'bench.sqlite'));
  await open('files', 'fs', path.join(folder, 'files'));
  for (const [kind, title] of [
    ['redis', 'Redis'],
    ['postgres', 'Postgres'],
    ['nats', 'NATS'],
  ] as const) {
    if (await listens(PORTS[kind])) await open(title, kind, String(PORTS[kind]));
    else console.log(`LEFT OUT: ${title}, nobody answers on port ${PORTS[kind]}\n`);
  }
  return {
    all,
    async close() {
      for (const { store, wipe, close } of all) {
        await wipe();
        await store.close?.();
        await close();
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** One way to update a record. */
export interface Way {
  readonly name: string;
  /** @returns what updates the record of this key, until it is told to stop */
  on(key: string, signal?: AbortSignal): (change: Change<Doc>) => Promise<unknown>;
}

/** What is updated: a count, and some ballast. */
export interface Doc {
  n: number;
  readonly ballast: string;
}

export const STATE = '@chunks/state';
export const CACHED = 'mutex and cached record';
export const LOOP = 'full-jitter loop';

const never = new AbortController().signal;

/** The three ways. */
export function waysOn(store: VersionedStore, tuning: Tuning, ballast = ''): readonly Way[] {
  const initial = (): Doc => ({ n: 0, ballast });
  // Never closed: the store is the benchmark's.
  const state = createState<Doc>({ store, initial });
  return [
    {
      name: STATE,
      on: (key, signal) => {
        const o = { maxAttempts: 1_000, timeoutMs: 120_000, signal };
        return (change) => state.update(key, (draft) => change(draft), o);
      },
    },
    { name: CACHED, on: (key, signal = never) => inTurn(store, key, initial, signal) },
    {
      name: LOOP,
      on:
        (key, signal = never) =>
        (change) =>
          fullJitter(store, key, initial, change, tuning, signal),
    },
  ];
}

/** Nothing was lost. */
export async function expectCount(store: VersionedStore, key: string, count: number): Promise<void> {
  const record = await store.read(key, { signal: new AbortController().signal });
  const value = JSON.parse(record?.value ?? '{}');
  const { n } = value.state ?? value;
  if (n !== count) throw new Error(`lost updates: ${n} of ${count}`);
}

// Bursts on one hot key, which is where coalescing shines, and one updater alone, which is what it must not slow down.
//
//   node main.ts
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createState, memoryStore, type VersionedStore } from '@chunks/state';
import { sqliteStore } from '@chunks/state/sqlite';
import { type Contender, interleave, table } from '../../base/bench/interleave.ts';

const UPDATERS = 200;
const ALONE = 50;
const signal = new AbortController().signal;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A store across a network: 1 to 3 ms a call. */
function remote(): VersionedStore {
  const inner = memoryStore();
  const away = () => sleep(1 + Math.random() * 2);
  return {
    ...inner,
    read: (...all) => away().then(() => inner.read(...all)),
    write: (...all) => away().then(() => inner.write(...all)),
  };
}

interface Doc {
  n: number;
}

/** What one writes by hand: read, change, write if nobody was faster, else wait a random while and try again. */
async function byHand(store: VersionedStore, key: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const record = await store.read(key, { signal });
    const doc: Doc = record ? JSON.parse(record.value) : { n: 0 };
    doc.n++;
    const reply = await store.write(key, JSON.stringify(doc), record?.revision, { signal });
    if ('revision' in reply) return;
    await sleep(Math.random() * Math.min(200, 2 * 2 ** attempt));
  }
}

/** The best by hand within one process: in turn, on the record that the last write left. */
function inTurn(store: VersionedStore, key: string): () => Promise<void> {
  let last: Promise<unknown> = Promise.resolve();
  let doc: Doc = { n: 0 };
  let revision: string | undefined;
  return () => {
    const mine = last.then(async () => {
      doc = { n: doc.n + 1 };
      const reply = await store.write(key, JSON.stringify(doc), revision, { signal });
      if ('conflict' in reply) throw new Error('another process came in between');
      revision = reply.revision;
    });
    last = mine;
    return mine;
  };
}

const all = (task: () => Promise<unknown>) => Promise.all(Array.from({ length: UPDATERS }, task));

async function expectCount(store: VersionedStore, key: string, count: number): Promise<void> {
  const value = JSON.parse((await store.read(key, { signal }))?.value ?? '{}');
  if ((value.state ?? value).n !== count) throw new Error(`lost updates: ${JSON.stringify(value)}`);
}

async function burst(title: string, store: VersionedStore): Promise<void> {
  let round = 0;
  const key = () => `burst-${round}`;
  const contender = (name: string, work: () => Promise<unknown>): Contender => ({
    name,
    before: () => void round++,
    run: () => work().then(() => undefined),
    after: () => expectCount(store, key(), UPDATERS),
  });
  const state = createState<Doc>({ store, initial: () => ({ n: 0 }) });
  const scores = await interleave(
    [
      contender('@chunks/state', () => all(() => state.update(key(), (draft) => ++draft.n))),
      contender('in turn, cached record', () => all(inTurn(store, key()))),
      contender('full-jitter loop', () => all(() => byHand(store, key()))),
    ],
    { rounds: 5, drop: 1 },
  );
  console.log(table(`${UPDATERS} updates of one key at once, ${title}`, scores));
}

async function alone(title: string, store: VersionedStore): Promise<void> {
  let round = 0;
  const state = createState<Doc>({ store, initial: () => ({ n: 0 }) });
  const contender = (name: string, one: (key: string) => Promise<unknown>): Contender => ({
    name,
    before: () => void round++,
    async run() {
      for (let i = 0; i < ALONE; i++) {
        await one(`alone-${round}`);
        // Lets the record at hand go, so that both sides read and write.
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    after: () => expectCount(store, `alone-${round}`, ALONE),
  });
  const scores = await interleave(
    [
      contender('bare read and conditional write', (key) => byHand(store, key)),
      contender('@chunks/state', (key) => state.update(key, (draft) => ++draft.n)),
    ],
    { rounds: 9, drop: 2 },
  );
  console.log(table(`${ALONE} updates one after the other, ${title}`, scores));
}

const folder = mkdtempSync(join(tmpdir(), 'chunks-state-bench-'));
try {
  const sqlite = sqliteStore(join(folder, 'bench.sqlite'));
  await burst('a store 1–3 ms away', remote());
  await burst('SQLite', sqlite);
  await alone('a store 1–3 ms away', remote());
  await alone('SQLite', sqlite);
  await sqlite.close?.();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

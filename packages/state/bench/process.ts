// One process of the four.

import { sharedNow } from '../test/processes/shared-clock.ts';
import { openStore, type StoreAddress } from '../test/processes/stores.ts';
import type { Tuning } from './by-hand.ts';
import { LOOP, STATE, waysOn } from './subjects.ts';

/** What it is told, as JSON. */
export interface ProcessTask {
  readonly address: StoreAddress;
  readonly key: string;
  readonly way: 'state' | 'loop';
  readonly updaters: number;
  readonly tuning: Tuning;
}

const { address, key, way, updaters, tuning } = JSON.parse(process.argv[2] ?? '') as ProcessTask;
const { store, close } = await openStore(address);
const name = way === 'state' ? STATE : LOOP;
const one = waysOn(store, tuning).find((each) => each.name === name);

async function crowd(on: string): Promise<void> {
  const update = one?.on(on);
  await Promise.all(Array.from({ length: updaters }, () => update?.((doc) => void doc.n++)));
}

// As a process that has been at it for a while: connected, its code compiled.
for (let i = 0; i < 5; i++) await crowd(`${key}-warm-${process.pid}-${i}`);
process.send?.('ready');
process.once('message', async (beginMs: number) => {
  await new Promise((resolve) => setTimeout(resolve, beginMs - sharedNow()));
  await crowd(key);
  process.send?.(sharedNow());
  await store.close?.();
  await close();
  process.disconnect();
});

// One process of the four.
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
const update = waysOn(store, tuning)
  .find((one) => one.name === name)
  ?.on(key);
// The connection is made before the clock starts.
await store.read('warm', { signal: new AbortController().signal });
process.send?.('ready');
process.once('message', async () => {
  await Promise.all(Array.from({ length: updaters }, () => update?.((doc) => void doc.n++)));
  process.send?.('done');
  await store.close?.();
  await close();
  process.disconnect();
});

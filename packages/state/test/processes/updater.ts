// One process of many: fifty updaters, each of them writes its name into one record, again and again, and tells of each
// update only after it has ended.
import { createState } from '@chunks/state';
import type { UpdateEnd } from '@chunks/state/testing';
import { sharedNow } from './shared-clock.ts';
import { openStore, type StoreAddress } from './stores.ts';
import { nameOf } from './updater-names.ts';

/** What a process is told when it is started, as JSON. */
export interface UpdaterTask {
  readonly address: StoreAddress;
  readonly process: string;
  readonly updaters: number;
  readonly rounds: number;
}

/** That it may begin, and then how each update ended. */
export type Told = 'ready' | UpdateEnd;

const task = JSON.parse(process.argv[2] ?? '') as UpdaterTask;
const tell = (told: Told): void => void process.send?.(told);

// Nobody to tell.
const orphaned = (): never => process.exit(1);
process.on('disconnect', orphaned);

const { store, close } = await openStore(task.address);
const state = createState({ store, initial: () => ({ log: [] as string[] }) });

async function update(updater: number): Promise<void> {
  for (let round = 0; round < task.rounds; round++) {
    const name = nameOf(task.process, updater, round);
    const begun = { name, process: task.process, start: sharedNow() };
    try {
      const o = { maxAttempts: 1_000 };
      const { version, index } = await state.update('shared', (draft) => void draft.log.push(name), o);
      tell({ ...begun, outcome: 'done', end: sharedNow(), version, index });
    } catch (error) {
      const isUnknown = (error as { code?: string }).code === 'UPDATE_AMBIGUOUS';
      tell({ ...begun, outcome: isUnknown ? 'unknown' : 'failed', end: sharedNow() });
    }
  }
}

// Whatever has to be opened or made is, before all of them begin together.
await state.get('shared');
tell('ready');
process.once('message', async () => {
  await Promise.all(Array.from({ length: task.updaters }, (_, i) => update(i)));
  await state.close();
  await close();
  process.off('disconnect', orphaned);
  process.disconnect();
});

// One process of many: fifty updaters, each of them writes its name into one record, again and again, and tells of each
// update only after it has ended.
import { createState } from '@chunks/state';
import { openStore, type StoreAddress } from './stores.ts';

/** What a process is told when it is started, as JSON. */
export interface UpdaterTask {
  readonly address: StoreAddress;
  readonly process: string;
  readonly updaters: number;
  readonly rounds: number;
}

/** How one update ended. */
export type Told =
  | { readonly told: 'ready' }
  | { readonly told: 'updated'; readonly name: string; readonly version: number; readonly index: number }
  | { readonly told: 'failed'; readonly name: string; readonly code: string };

const task = JSON.parse(process.argv[2] ?? '') as UpdaterTask;
const tell = (told: Told): void => void process.send?.(told);

// Nobody to tell.
const orphaned = (): never => process.exit(1);
process.on('disconnect', orphaned);

const { store, close } = await openStore(task.address);
const state = createState({ store, initial: () => ({ log: [] as string[] }) });

async function update(updater: number): Promise<void> {
  for (let round = 0; round < task.rounds; round++) {
    const name = `${task.process}-${updater}-${round}`;
    try {
      const o = { maxAttempts: 1_000 };
      const { version, index } = await state.update('shared', (draft) => void draft.log.push(name), o);
      tell({ told: 'updated', name, version, index });
    } catch (error) {
      tell({ told: 'failed', name, code: (error as { code?: string }).code ?? String(error) });
    }
  }
}

// Whatever has to be opened or made is, before all of them begin together.
await state.get('shared');
tell({ told: 'ready' });
process.once('message', async () => {
  await Promise.all(Array.from({ length: task.updaters }, (_, i) => update(i)));
  await state.close();
  await close();
  process.off('disconnect', orphaned);
  process.disconnect();
});

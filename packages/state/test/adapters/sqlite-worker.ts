// One process of the tests over a shared file: applies updates and tells of each only after it was acknowledged.

import { sqliteStore } from '../../src/adapters/sqlite.ts';
import { createState } from '../../src/index.ts';

const [path = '', name = '', count = '0', inTurn = ''] = process.argv.slice(2);
const state = createState({
  store: sqliteStore(path),
  initial: () => ({ log: [] as string[] }),
});

async function update(i: number): Promise<void> {
  const id = `${name}-${i}`;
  const { version, index } = await state.update('shared', (draft) => void draft.log.push(id), { maxAttempts: 200 });
  process.stdout.write(`${JSON.stringify({ id, version, index })}\n`);
}

process.stdout.write('"ready"\n');
process.stdin.once('data', async () => {
  if (inTurn) for (let i = 0; i < Number(count); i++) await update(i);
  else await Promise.all(Array.from({ length: Number(count) }, (_, i) => update(i)));
  await state.close();
  process.stdin.destroy();
});

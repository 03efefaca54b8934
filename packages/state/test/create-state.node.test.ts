import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

test('a script that awaits an update gets it, though only a backoff keeps the process alive', () => {
  const script = `
    import { createState, memoryStore } from '@chunks/state';
    const store = memoryStore();
    let failures = 2;
    const read = (key, o) => (failures-- > 0 ? Promise.reject(new Error('not yet')) : store.read(key, o));
    const state = createState({ store: { ...store, read, write: store.write.bind(store) }, initial: () => ({ n: 0 }) });
    const { version } = await state.update('key', (draft) => void draft.n++);
    console.log('version', version);`;
  const flags = ['--conditions=@chunks/source', '--experimental-strip-types', '--no-warnings', '--input-type=module'];
  const { status, stdout } = spawnSync(process.execPath, [...flags, '-e', script], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'version 1\n' });
});

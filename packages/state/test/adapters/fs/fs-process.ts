// Another process on the directory of a test: `node fs-process.ts <what> <directory> …`. Each line that it says is JSON.
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Files, nodeFiles } from '../../../src/adapters/fs/files.ts';
import { Records } from '../../../src/adapters/fs/records.ts';
import { fsStore } from '../../../src/adapters/fs.ts';
import { createState, isStateError } from '../../../src/index.ts';

const [what, directory = '', ...rest] = process.argv.slice(2);
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const { signal } = new AbortController();

/** What a call came to, in few words. */
const outcome = (call: Promise<unknown>): Promise<unknown> =>
  call.catch(({ code, definite }: { code?: string; definite?: boolean }) => ({ code, definite }));

/** Is killed right before or right after its nth call of the file system, while it creates, replaces or removes. */
async function die(how: string, n: string, when: string): Promise<void> {
  const files = nodeFiles(false);
  let left = Number(n);
  const mortal = new Proxy(files, {
    get(target, name: keyof Files) {
      const call = target[name] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]) => {
        const isLast = left-- === 0;
        if (isLast && when === 'before') process.kill(process.pid, 'SIGKILL');
        const answer = await call(...args);
        if (isLast) process.kill(process.pid, 'SIGKILL');
        return answer;
      };
    },
  });
  const records = new Records({ directory, files: mortal, now: () => 0 });
  const found = await records.read('key', signal);
  if (how === 'remove') await records.remove('key', found?.revision as string);
  else await records.write('key', '"new"', found?.revision, signal);
  say('survived');
}

/** Update after update, each told of only when it was acknowledged. */
async function update(name: string): Promise<void> {
  const state = createState({ store: fsStore(directory, { sync: false }), initial: () => ({ log: [] as string[] }) });
  for (let i = 0; ; i++) {
    const id = `${name}-${i}`;
    await state.update('shared', (draft) => void draft.log.push(id), { maxAttempts: 500 });
    say(id);
  }
}

/** On a disk of its own, which it fills. */
async function fill(): Promise<void> {
  const store = fsStore(directory);
  const written = (await store.write('key', '"one"', undefined, { signal })) as { revision: string };
  const filler = join(dirname(directory), 'filler');
  let size = 65_536;
  for (let content = '.'.repeat(size); size > 0; content = content.slice(0, size)) {
    try {
      writeFileSync(filler, content, { flag: 'a' });
    } catch {
      size = Math.floor(size / 2);
    }
  }
  const value = JSON.stringify('x'.repeat(10_000));
  const whenFull = await outcome(store.write('key', value, written.revision, { signal }));
  const created = await outcome(store.write('other', value, undefined, { signal }));
  const read = await store.read('key', { signal });
  rmSync(filler);
  const again = await outcome(store.write('key', value, written.revision, { signal }));
  say({ whenFull, created, isOld: read?.value === '"one"', isWritten: 'revision' in (again as object) });
}

/** Where it may only read. */
async function look(): Promise<void> {
  const store = fsStore(directory);
  const found = await store.read('key', { signal });
  const removed = await store.read('removed', { signal });
  const state = createState({ store, initial: () => ({}), retry: { maxMs: 5 } });
  const updated = await state.update('other', () => 1, { maxAttempts: 2 }).catch((error) => error);
  say({
    value: found?.value,
    removed: removed ?? 'absent',
    replaced: await outcome(store.write('key', '"new"', found?.revision, { signal })),
    created: await outcome(store.write('other', '"new"', undefined, { signal })),
    updated: isStateError(updated) && updated.code,
  });
}

const [first = '', second = '', third = ''] = rest;
await { die, update, fill, look }[what as 'die' | 'update' | 'fill' | 'look'](first, second, third);
process.exit();

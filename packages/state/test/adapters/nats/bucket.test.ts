import { natsStore } from '@chunks/state/nats';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../../../.ci/testing/runs.ts';
import { FakeBucket } from './fake-kv.ts';

const { signal } = new AbortController();

describe('while a bucket is deleted and made anew again and again, and answers take their time', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.constant('update' as const) },
    { weight: 3, arbitrary: fc.constant('read' as const) },
    { weight: 2, arbitrary: fc.constant('remove' as const) },
    { weight: 1, arbitrary: fc.constant('wipe' as const) },
  );

  test('a revision names one value and fits it alone, and what is acknowledged stands where all look', async () => {
    const seen = { written: 0, overwritten: 0, refused: 0, removed: 0 };
    let accidents = 0;
    const program = fc.array(fc.array(step, { maxLength: 15 }), { minLength: 2, maxLength: 4 });
    const property = fc.asyncProperty(fc.scheduler(), program, async (s, clients) => {
      const bucket = new FakeBucket();
      const named = new Map<string, string>();
      const commits = new Map<string, { over: string | undefined; inLife: boolean }>();
      let isAccident = false;
      bucket.onWrite = (subject, { value, operation, author }, over) => {
        const inLife = subject.startsWith(`state.${bucket.messages.get('state')?.value}.`);
        // A trace is no record.
        const overRecord = over?.operation === 'PUT' && over.value !== '' ? over.value : undefined;
        if (operation === 'PUT') commits.set(value, { over: overRecord, inLife });
        // The one that is left: over somebody else's trace of the earlier life, which has by chance the sequence of the own.
        if (!inLife && over?.value === '' && over.author !== author) isAccident = true;
      };
      const name = (revision: string, value: string): void => {
        expect(named.get(revision) ?? value).toBe(value);
        named.set(revision, value);
      };

      async function act(steps: (typeof clients)[number], client: number): Promise<void> {
        const store = natsStore(bucket.open(() => s.schedule(Promise.resolve())));
        let known: string | undefined;
        for (const [i, what] of steps.entries()) {
          if (what === 'wipe') bucket.wipe();
          if (what === 'read') {
            const found = await store.read('key', { signal });
            if (found) name(found.revision, found.value);
            known = found?.revision;
          }
          if (what === 'remove' && known !== undefined) {
            if (await store.remove?.('key', known, { signal })) seen.removed++;
          }
          if (what !== 'update') continue;
          const value = `"${client}.${i}"`;
          const reply = await store.write('key', value, known, { signal });
          if ('conflict' in reply) {
            seen.refused++;
            if (reply.current) name(reply.current.revision, reply.current.value);
            known = reply.current?.revision;
            continue;
          }
          seen.written++;
          if (known !== undefined) seen.overwritten++;
          const commit = commits.get(value);
          expect(commit?.inLife).toBe(true);
          expect(commit?.over).toBe(known === undefined ? undefined : named.get(known));
          name(reply.revision, value);
          known = reply.revision;
        }
      }
      const all = await s.waitFor(Promise.allSettled(clients.map(act)));
      if (isAccident) accidents++;
      else for (const end of all) if (end.status === 'rejected') throw end.reason;
    });
    await fc.assert(property, { numRuns: runs(300) });
    expect(accidents).toBeLessThan(runs(300) / 50);
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(20);
  });
});

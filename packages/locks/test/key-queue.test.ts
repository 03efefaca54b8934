import { VirtualClock } from '@chunks/base/testing';
import type { LockMode } from '@chunks/locks';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { HeldLock } from '../src/held-lock.ts';
import { KeyQueue } from '../src/key-queue.ts';
import { LockTable } from '../src/lock-table.ts';
import { checkSettings } from '../src/settings.ts';

it('knows exactly who is in, and lets in one exclusive holder or any number of shared ones', () => {
  const settings = checkSettings({ clock: new VirtualClock() });
  const table = new LockTable(settings);
  const attempt = fc.record({ mode: fc.constantFrom<LockMode>('exclusive', 'shared'), leaves: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(attempt), (attempts) => {
      const queue = new KeyQueue(table, 'k');
      const model = new Set<HeldLock>();
      for (const { mode, leaves } of attempts) {
        const modes = new Set([...model].map((lock) => lock.mode));
        expect(queue.admits(mode)).toBe(model.size === 0 || (mode === 'shared' && !modes.has('exclusive')));
        if (queue.admits(mode)) {
          const lock = new HeldLock(table, 'k', { ...settings.terms, mode }, 1, 0, 0);
          queue.enter(lock);
          model.add(lock);
        } else {
          const leaver = [...model][leaves % model.size] as HeldLock;
          queue.leave(leaver);
          model.delete(leaver);
        }
        expect(new Set(queue.holders())).toEqual(model);
        expect([...queue.holders()]).toHaveLength(model.size);
        expect(queue.holder === undefined).toBe(model.size === 0);
      }
    }),
  );
});

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { DueHeap, type Placed } from '../src/due-heap.ts';

it('gives everything back in the order of its time, whoever left in between', () => {
  const add = fc.record({ do: fc.constant('add' as const), dueMs: fc.nat(50) });
  const step = fc.oneof(
    add,
    fc.record({ do: fc.constant('remove' as const), pick: fc.nat(50) }),
    fc.record({ do: fc.constant('take' as const), nowMs: fc.nat(50) }),
  );
  fc.assert(
    // Deep to begin with: what takes a leaver's place may have to rise as well as to sink.
    fc.property(fc.array(add, { minLength: 30, maxLength: 60 }), fc.array(step), (adds, steps) => {
      const heap = new DueHeap<Placed & { dueMs: number }>();
      let model: (Placed & { dueMs: number })[] = [];
      for (const one of [...adds, ...steps]) {
        if (one.do === 'add') {
          const item = { place: -1, dueMs: one.dueMs };
          heap.add(item, item.dueMs);
          model.push(item);
        } else if (one.do === 'remove') {
          const item = model[one.pick % Math.max(1, model.length)];
          if (item === undefined) continue;
          heap.remove(item);
          heap.remove(item);
          model = model.filter((other) => other !== item);
          expect(item.place).toBe(-1);
        } else {
          const due = heap.takeDue(one.nowMs);
          expect(due.map((item) => item.dueMs)).toEqual(due.map((item) => item.dueMs).sort((a, b) => a - b));
          expect(new Set(due)).toEqual(new Set(model.filter((item) => item.dueMs <= one.nowMs)));
          model = model.filter((item) => item.dueMs > one.nowMs);
        }
        expect(heap.nextMs).toBe(Math.min(...model.map((item) => item.dueMs)));
      }
      expect(new Set(heap.takeDue(Number.POSITIVE_INFINITY))).toEqual(new Set(model));
      expect(heap.nextMs).toBe(Number.POSITIVE_INFINITY);
    }),
    { numRuns: 300 },
  );
});

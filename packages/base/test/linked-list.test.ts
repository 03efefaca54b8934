import { type Linked, LinkedList } from '@chunks/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';

class Node implements Linked<Node> {
  previous: Node | undefined = undefined;
  next: Node | undefined = undefined;
}

const isSame = (a: readonly Node[], b: readonly Node[]): boolean =>
  a.length === b.length && a.every((node, i) => node === b[i]);

const step = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ kind: 'push' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'shift' as const }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('remove' as const), at: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('again' as const), at: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('sweep' as const), keep: fc.array(fc.boolean()) }) },
);

test('is what an array would be, forwards and backwards, after every step', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const list = new LinkedList<Node>();
      let model: Node[] = [];
      const left: Node[] = [];
      for (const step of steps) {
        if (step.kind === 'push') {
          const node = new Node();
          list.push(node);
          model.push(node);
        } else if (step.kind === 'shift') {
          const node = model.shift();
          expect(list.shift()).toBe(node);
          if (node !== undefined) left.push(node);
        } else if (step.kind === 'remove') {
          const [node] = model.splice(step.at, 1);
          if (node === undefined) continue;
          list.remove(node);
          left.push(node);
        } else if (step.kind === 'again') {
          // A node that left may come back.
          const [node] = left.splice(step.at, 1);
          if (node === undefined) continue;
          list.push(node);
          model.push(node);
        } else {
          const keep = (at: number): boolean => step.keep[at] ?? true;
          let at = 0;
          for (const node of list) if (!keep(at++)) list.remove(node);
          left.push(...model.filter((_, i) => !keep(i)));
          model = model.filter((_, i) => keep(i));
        }
        // By identity: as values all nodes are alike.
        expect(isSame([...list], model)).toBe(true);
        const backwards: Node[] = [];
        for (let node = list.last; node !== undefined; node = node.previous) backwards.push(node);
        expect(isSame(backwards.reverse(), model)).toBe(true);
        expect(list.size).toBe(model.length);
        expect(list.first).toBe(model[0]);
        // A node that is out holds on to no other: it would keep a whole queue from being collected.
        for (const node of left) expect([node.previous, node.next]).toEqual([undefined, undefined]);
      }
    }),
  );
});

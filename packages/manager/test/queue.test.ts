import { ChunkQueue, type Priority } from '@chunks/manager';
import fc from 'fast-check';
import { expect, test } from 'vitest';

/** The same rules in the plainest form: lists, searched from the front. */
class NaiveQueue {
  /** For each class the files in order of turn, each with its chunks in order of arrival. */
  readonly classes: { file: string; chunks: number[] }[][] = [[], [], [], []];

  classOf(file: string, chunk: number): number {
    return this.classes.findIndex((turns) => turns.some((turn) => turn.file === file && turn.chunks.includes(chunk)));
  }
  push(file: string, chunk: number, priority: number): boolean {
    if (this.classOf(file, chunk) !== -1) return false;
    const turns = this.classes[priority] as { file: string; chunks: number[] }[];
    const turn = turns.find((each) => each.file === file);
    if (turn === undefined) turns.push({ file, chunks: [chunk] });
    else turn.chunks.push(chunk);
    return true;
  }
  cancel(file: string, chunk: number): boolean {
    const priority = this.classOf(file, chunk);
    if (priority === -1) return false;
    const turns = this.classes[priority] as { file: string; chunks: number[] }[];
    for (const turn of turns) if (turn.file === file) turn.chunks = turn.chunks.filter((each) => each !== chunk);
    this.classes[priority] = turns.filter((turn) => turn.chunks.length > 0);
    return true;
  }
  raise(file: string, chunk: number, priority: number): boolean {
    if (this.classOf(file, chunk) <= priority) return false;
    this.cancel(file, chunk);
    return this.push(file, chunk, priority);
  }
  pop(mayServe: (file: string) => boolean): { file: string; chunk: number; priority: number } | undefined {
    for (let priority = 0; priority < 4; priority++) {
      const turns = this.classes[priority] as { file: string; chunks: number[] }[];
      const index = turns.findIndex((turn) => mayServe(turn.file));
      if (index === -1) continue;
      const turn = turns[index] as { file: string; chunks: number[] };
      const chunk = turn.chunks.shift() as number;
      turns.splice(index, 1);
      if (turn.chunks.length > 0) turns.push(turn);
      return { file: turn.file, chunk, priority };
    }
    return undefined;
  }
}

const step = fc.record({
  kind: fc.constantFrom('push', 'push', 'push', 'raise', 'cancel', 'pop', 'popSome'),
  file: fc.constantFrom('a', 'b', 'c'),
  chunk: fc.nat(5),
  priority: fc.constantFrom<Priority>(0, 1, 2, 3),
});

test('serves in the order of the naive lists, over random pushes, raises, cancels and pops', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const queue = new ChunkQueue();
      const naive = new NaiveQueue();
      for (const { kind, file, chunk, priority } of steps) {
        const all = (): boolean => true;
        const notThatFile = (name: string): boolean => name !== file;
        if (kind === 'push') expect(queue.push(file, chunk, priority)).toBe(naive.push(file, chunk, priority));
        else if (kind === 'raise') expect(queue.raise(file, chunk, priority)).toBe(naive.raise(file, chunk, priority));
        else if (kind === 'cancel') expect(queue.cancel(file, chunk)).toBe(naive.cancel(file, chunk));
        else if (kind === 'pop') expect(queue.pop()).toEqual(naive.pop(all));
        else expect(queue.pop(notThatFile)).toEqual(naive.pop(notThatFile));
        const sizes = naive.classes.map((turns) => turns.reduce((sum, turn) => sum + turn.chunks.length, 0));
        expect(Object.values(queue.sizes)).toEqual(sizes);
        expect(queue.size).toBe(sizes.reduce((sum, size) => sum + size, 0));
      }
    }),
  );
});

test('files of one class take turns, however many chunks the first one brought', () => {
  const queue = new ChunkQueue();
  for (let chunk = 0; chunk < 1000; chunk++) queue.push('long', chunk, 2);
  queue.push('short', 0, 2);
  expect(queue.pop()).toEqual({ file: 'long', chunk: 0, priority: 2 });
  expect(queue.pop()).toEqual({ file: 'short', chunk: 0, priority: 2 });
  expect(queue.pop()).toEqual({ file: 'long', chunk: 1, priority: 2 });
});

test('refuses a chunk or class that is none', () => {
  const queue = new ChunkQueue();
  expect(() => queue.push('a', -1, 0)).toThrow(RangeError);
  expect(() => queue.push('a', 0, 4 as Priority)).toThrow(RangeError);
  expect(() => queue.raise('a', 0, 1.5 as Priority)).toThrow(RangeError);
  expect(queue.size).toBe(0);
});

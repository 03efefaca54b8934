import { type ByteSource, collectBytes, copyBytes, discard, pieces } from '@chunks/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const parts = fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 6 });
const joined = (all: readonly Uint8Array[]): number[] => all.flatMap((part) => [...part]);

test('a source of any kind is collected whole, into a buffer of its own', async () => {
  await fc.assert(
    fc.asyncProperty(parts, async (all) => {
      // One buffer for every piece, as a file reader does it.
      const shared = new Uint8Array(9);
      async function* reusing(): AsyncGenerator<Uint8Array> {
        for (const part of all) {
          shared.set(part);
          yield shared.subarray(0, part.byteLength);
        }
      }
      const queue = [...all];
      const stream = new ReadableStream<Uint8Array>({
        pull(controller) {
          const part = queue.shift();
          if (part === undefined) controller.close();
          else controller.enqueue(part);
        },
      });
      const buffer = Uint8Array.from(joined(all));
      for (const source of [reusing(), stream, buffer] as ByteSource[]) {
        const whole = await collectBytes(source);
        expect([...whole]).toEqual(joined(all));
        expect(whole.buffer.byteLength).toBe(whole.byteLength);
        expect(whole.buffer).not.toBe(shared.buffer);
        expect(whole.buffer).not.toBe(buffer.buffer);
      }
    }),
  );
});

test('a view is copied out of the buffer that it looks into', () => {
  const pool = Uint8Array.from([1, 2, 3, 4]);
  const copy = copyBytes(pool.subarray(1, 3));
  pool.fill(0);
  expect([...copy]).toEqual([2, 3]);
  expect(copy.buffer.byteLength).toBe(2);
});

test('pieces come as the source gives them', async () => {
  const all = [Uint8Array.of(1), Uint8Array.of(), Uint8Array.of(2, 3)];
  async function* source(): AsyncGenerator<Uint8Array> {
    yield* all;
  }
  const seen: Uint8Array[] = [];
  for await (const piece of pieces(source())) seen.push(piece);
  expect(seen).toEqual(all);
});

test('discarding cancels a web stream, destroys a Node stream and ends a generator', async () => {
  const calls: unknown[] = [];
  const stream = new ReadableStream<Uint8Array>({ cancel: (reason) => void calls.push(['cancel', reason]) });
  discard(stream, 'why');
  async function* generator(): AsyncGenerator<Uint8Array> {
    try {
      yield Uint8Array.of(1);
    } finally {
      calls.push('ended');
    }
  }
  const started = generator();
  await started.next();
  discard(started, 'why');
  await started.next();
  const readable = { destroy: () => void calls.push('destroyed'), [Symbol.asyncIterator]: generator };
  discard(readable, 'why');
  expect(calls).toEqual([['cancel', 'why'], 'ended', 'destroyed']);
});

test('discarding what cannot be closed is quiet', async () => {
  discard(Uint8Array.of(1), 'why');
  discard({ [Symbol.asyncIterator]: () => expect.unreachable() } as AsyncIterable<Uint8Array>, 'why');
  const locked = new ReadableStream<Uint8Array>();
  locked.getReader();
  discard(locked, 'why');
  // A rejection that nobody handles would fail this run.
  await new Promise((resolve) => setTimeout(resolve, 5));
});

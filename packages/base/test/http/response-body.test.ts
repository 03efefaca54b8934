import { BodyLengthError, type ByteRange, type ByteSource } from '@chunks/base';
import { countListeners, settle } from '@chunks/base/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openBody } from '../../src/http/response-body.ts';

const range = (startByte: number, endByte: number): ByteRange => ({ startByte, endByte });
const never = new AbortController().signal;
const whole = async (body: ReadableStream<Uint8Array>): Promise<Uint8Array> =>
  new Uint8Array(await new Response(body as BodyInit).arrayBuffer());

test('gives exactly the bytes, or fails without having given all: never more, never fewer, never filled up', async () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 5 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(pieces, fc.integer({ min: 1, max: 20 }), async (all, wanted) => {
      const given = Uint8Array.from(all.flatMap((piece) => [...piece]));
      const shared = new Uint8Array(5);
      async function* source(): AsyncGenerator<Uint8Array> {
        for (const piece of all) {
          shared.set(piece);
          yield shared.subarray(0, piece.byteLength);
        }
      }
      const body = await openBody([range(0, wanted)], { read: source, requireExact: true, signal: never });
      const kept: Uint8Array[] = [];
      let failure: unknown;
      try {
        for await (const piece of body) kept.push(piece);
      } catch (error) {
        failure = error;
      }
      // Only now: the source has used its buffer for other pieces since.
      const got = kept.flatMap((piece) => [...piece]);
      if (given.byteLength === wanted) {
        expect(failure).toBeUndefined();
        expect(got).toEqual([...given]);
      } else {
        expect(failure).toBeInstanceOf(BodyLengthError);
        expect(got.length).toBeLessThan(wanted);
        expect(got).toEqual([...given.subarray(0, got.length)]);
      }
    }),
  );
});

test('the error says what was asked and what came', async () => {
  const open = (bytes: number): Promise<ReadableStream<Uint8Array>> =>
    openBody([range(10, 14)], { read: () => new Uint8Array(bytes), requireExact: true, signal: never });
  await expect(open(3).then(whole)).rejects.toThrow('read gave only 3 bytes for the range 10–14, which has 4');
  await expect(open(9).then(whole)).rejects.toThrow('read gave at least 9 bytes for the range 10–14, which has 4');
});

test('whatever comes is the body where no length is known', async () => {
  const body = await openBody([range(0, 99)], { read: () => Uint8Array.of(1, 2), requireExact: false, signal: never });
  expect([...(await whole(body))]).toEqual([1, 2]);
});

test('several ranges are read one after the other, each when its turn comes, none ahead of the consumer', async () => {
  const reads: number[] = [];
  const body = await openBody([Uint8Array.of(9), range(1, 2), Uint8Array.of(8), range(3, 4)], {
    read: ({ startByte }) => {
      reads.push(startByte);
      return Uint8Array.of(startByte);
    },
    requireExact: true,
    signal: never,
  });
  const reader = body.getReader();
  const next = async (): Promise<number[]> => {
    const { value } = await reader.read();
    await settle();
    return [...(value ?? []), ...reads];
  };
  expect(reads).toEqual([1]);
  expect(await next()).toEqual([9, 1]);
  expect(await next()).toEqual([1, 1]);
  expect(await next()).toEqual([8, 1]);
  expect(await next()).toEqual([3, 1, 3]);
  expect((await reader.read()).done).toBe(true);
});

test('what read throws first is thrown; what it throws later fails the body and aborts its signal', async () => {
  const fault = new Error('origin');
  const failing = { requireExact: true, signal: never };
  const throwing = (): never => {
    throw fault;
  };
  await expect(openBody([range(0, 1)], { ...failing, read: throwing })).rejects.toBe(fault);
  await expect(openBody([range(0, 1)], { ...failing, read: () => Promise.reject(fault) })).rejects.toBe(fault);
  let seen: AbortSignal | undefined;
  const body = await openBody([range(0, 1), range(2, 3)], {
    ...failing,
    read: ({ startByte }, signal) => {
      seen = signal;
      return startByte === 0 ? Uint8Array.of(1) : throwing();
    },
  });
  await expect(whole(body)).rejects.toBe(fault);
  expect(seen?.aborted).toBe(true);
});

test.each<[string, unknown]>([
  ['nothing', undefined],
  ['a text', 'abc'],
  ['a plain list', [1, 2]],
])('%s is no source', async (_, given) => {
  const opening = openBody([range(0, 1)], { read: () => given as ByteSource, requireExact: true, signal: never });
  await expect(opening).rejects.toThrow('what resource.read gives must be a Uint8Array or an async iterable of them');
});

test('pieces that are no bytes fail the body', async () => {
  async function* texts(): AsyncGenerator<unknown> {
    yield 'abc';
  }
  const body = await openBody([range(0, 3)], {
    read: () => texts() as AsyncGenerator<Uint8Array>,
    requireExact: true,
    signal: never,
  });
  await expect(whole(body)).rejects.toThrow('each piece of what resource.read gives must be a Uint8Array');
});

/** A source that gives one byte at a time for ever, and notes what is done to it. */
function endless(): { source: ReadableStream<Uint8Array>; cancelled: unknown[]; given: () => number } {
  const cancelled: unknown[] = [];
  let given = 0;
  const source = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        given++;
        controller.enqueue(Uint8Array.of(1));
      },
      cancel: (reason) => void cancelled.push(reason),
    },
    { highWaterMark: 0 },
  );
  return { source, cancelled, given: () => given };
}

describe.each([0, 1, 3])('after %i pieces', (pieces) => {
  test('cancelling the body aborts the signal with the reason and lets go of the source', async () => {
    const { source, cancelled, given } = endless();
    let seen: AbortSignal | undefined;
    const body = await openBody([range(0, 100)], {
      read: (_, signal) => {
        seen = signal;
        return source;
      },
      requireExact: true,
      signal: never,
    });
    const reader = body.getReader();
    for (let i = 0; i < pieces; i++) await reader.read();
    expect(seen?.aborted).toBe(false);
    await reader.cancel('left');
    await settle();
    expect(seen?.reason).toBe('left');
    expect(cancelled).toHaveLength(1);
    expect(given()).toBe(pieces);
  });

  test('aborting the request does the same, and fails the body with its reason', async () => {
    const { source, cancelled } = endless();
    const request = new AbortController();
    let seen: AbortSignal | undefined;
    const body = await openBody([range(0, 100)], {
      read: (_, signal) => {
        seen = signal;
        return source;
      },
      requireExact: true,
      signal: request.signal,
    });
    const reader = body.getReader();
    for (let i = 0; i < pieces; i++) await reader.read();
    const reason = new Error('gone');
    request.abort(reason);
    await expect(reader.read()).rejects.toBe(reason);
    await settle();
    expect(seen?.reason).toBe(reason);
    expect(cancelled).toHaveLength(1);
  });
});

test('an abort waits neither for a read nor for a source that pays no heed, and what comes late is let go', async () => {
  const reason = new Error('gone');
  const request = new AbortController();
  const { source, cancelled } = endless();
  let give: (source: ByteSource) => void = () => undefined;
  const opening = openBody([range(0, 9)], {
    read: () => new Promise((resolve) => (give = resolve)),
    requireExact: true,
    signal: request.signal,
  });
  request.abort(reason);
  await expect(opening).rejects.toBe(reason);
  give(source);
  await settle();
  expect(cancelled).toEqual([reason]);

  const deaf = new AbortController();
  const stuck = await openBody([range(0, 9)], {
    read: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) }),
    requireExact: true,
    signal: deaf.signal,
  });
  const reading = stuck.getReader().read();
  deaf.abort(reason);
  await expect(reading).rejects.toBe(reason);
});

test.each(Array.from({ length: 12 }, (_, i) => i))(
  'an abort %i turns after the read came back is never lost',
  async (turns) => {
    const { source, cancelled } = endless();
    const request = new AbortController();
    let give: (source: ByteSource) => void = () => undefined;
    const opening = openBody([range(0, 9)], {
      read: () => new Promise((resolve) => (give = resolve)),
      requireExact: true,
      signal: request.signal,
    });
    const outcome = opening.then(whole).catch((error: unknown) => error);
    await settle();
    give(source);
    for (let i = 0; i < turns; i++) await undefined;
    request.abort('gone');
    expect(await outcome).toBe('gone');
    await settle();
    expect(cancelled).toHaveLength(1);
  },
);

test('an aborted request reads nothing', async () => {
  const opening = openBody([range(0, 9)], {
    read: () => expect.unreachable(),
    requireExact: true,
    signal: AbortSignal.abort('early'),
  });
  await expect(opening).rejects.toBe('early');
});

test('a body that ended has left the signal of the request, and aborts nothing', async () => {
  const request = new AbortController();
  const { signal } = request;
  const listeners = countListeners(signal);
  let seen: AbortSignal | undefined;
  const open = (bytes: number): Promise<ReadableStream<Uint8Array>> =>
    openBody([range(0, 2)], {
      read: (_, own) => {
        seen = own;
        return new Uint8Array(bytes);
      },
      requireExact: true,
      signal,
    });
  await whole(await open(2));
  expect(listeners()).toBe(0);
  request.abort();
  expect(seen?.aborted).toBe(false);
});

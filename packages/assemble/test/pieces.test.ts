import { settle } from '@chunks/base/testing';
import { describe, expect, test } from 'vitest';
import { piecesUntil } from '../src/pieces.ts';

async function take(source: AsyncIterable<Uint8Array>): Promise<number[]> {
  const bytes: number[] = [];
  for await (const piece of source) bytes.push(...piece);
  return bytes;
}

/** Three pieces, then nothing for ever; tells when it is told to stop. */
function hanging(): AsyncIterable<Uint8Array> & { stopped: number } {
  let given = 0;
  const source = {
    stopped: 0,
    [Symbol.asyncIterator]: () => ({
      next: () =>
        given++ < 3
          ? Promise.resolve({ done: false as const, value: Uint8Array.of(given) })
          : new Promise<never>(() => undefined),
      return: () => {
        source.stopped++;
        return new Promise<never>(() => undefined);
      },
    }),
  };
  return source;
}

describe('piecesUntil', () => {
  test('gives a buffer as one piece and a stream as it comes', async () => {
    expect(await take(piecesUntil(Uint8Array.of(1, 2), undefined))).toEqual([1, 2]);
    expect(await take(piecesUntil(new Blob([Uint8Array.of(1, 2, 3)]).stream(), undefined))).toEqual([1, 2, 3]);
  });

  test('an abort ends it at once, even while the source hangs in both next and return', async () => {
    const source = hanging();
    const controller = new AbortController();
    const reason = new Error('enough');
    const taken = take(piecesUntil(source, controller.signal));
    await settle();
    controller.abort(reason);
    await expect(taken).rejects.toBe(reason);
    expect(source.stopped).toBe(1);
    await expect(take(piecesUntil(Uint8Array.of(1), AbortSignal.abort(reason)))).rejects.toBe(reason);
  });

  test('a source that fails to stop hides neither reason nor error', async () => {
    const reason = new Error('enough');
    const unstoppable = (next: () => Promise<never>): AsyncIterable<Uint8Array> => ({
      [Symbol.asyncIterator]: () => ({
        next,
        return: () => {
          throw new Error('from return');
        },
      }),
    });
    const controller = new AbortController();
    const taken = take(
      piecesUntil(
        unstoppable(() => new Promise<never>(() => undefined)),
        controller.signal,
      ),
    );
    await settle();
    controller.abort(reason);
    await expect(taken).rejects.toBe(reason);
    await expect(
      take(
        piecesUntil(
          unstoppable(() => Promise.reject(reason)),
          undefined,
        ),
      ),
    ).rejects.toBe(reason);
  });

  test('an abort between two pieces is not overlooked', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const pieces = piecesUntil(hanging(), controller.signal);
    await pieces.next();
    controller.abort(reason);
    await expect(pieces.next()).rejects.toBe(reason);
  });

  test('leaving early tells the source; reading to the end does not', async () => {
    const source = hanging();
    for await (const _ of piecesUntil(source, undefined)) break;
    expect(source.stopped).toBe(1);
    let returned = 0;
    const short = {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: true as const, value: undefined }),
        return: async () => ({ done: true as const, value: ++returned }),
      }),
    };
    expect(await take(piecesUntil(short, undefined))).toEqual([]);
    expect(returned).toBe(0);
  });

  test('takes its listener off the signal, and passes errors on', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    let listeners = 0;
    signal.addEventListener = () => void listeners++;
    signal.removeEventListener = () => void listeners--;
    async function* failing() {
      yield Uint8Array.of(1);
      throw new Error('broken');
    }
    await expect(take(piecesUntil(failing(), signal))).rejects.toThrow('broken');
    expect(listeners).toBe(0);
  });

  test('refuses pieces that are no bytes', async () => {
    async function* text() {
      yield 'text' as unknown as Uint8Array;
    }
    await expect(take(piecesUntil(text(), undefined))).rejects.toThrow(TypeError);
  });
});

import { type ByteRange, RangeSet } from '@chunks/base';
import type { ChunkStore } from './types.ts';

const PAGE_BYTES = 64 * 1024;

/** A sparse file in memory: pages where anything was written, and which bytes those are. */
class SparseBytes {
  readonly written: RangeSet = new RangeSet();
  readonly #pages = new Map<number, Uint8Array>();

  write(offset: number, bytes: Uint8Array): void {
    for (const { page, from, to, at } of parts({ startByte: offset, endByte: offset + bytes.byteLength })) {
      let target = this.#pages.get(page);
      if (target === undefined) this.#pages.set(page, (target = new Uint8Array(PAGE_BYTES)));
      target.set(bytes.subarray(at, at + to - from), from);
    }
    this.written.add({ startByte: offset, endByte: offset + bytes.byteLength });
  }

  /** One page's share at a time, each a copy. */
  *read(range: ByteRange): Generator<Uint8Array> {
    for (const { page, from, to } of parts(range)) {
      const start = page * PAGE_BYTES;
      const source = this.#pages.get(page);
      // Asked anew for each piece: the chunk may have been removed since the last one.
      if (source === undefined || !this.written.has({ startByte: start + from, endByte: start + to })) {
        throw new RangeError(`bytes ${start + from}–${start + to} are not stored`);
      }
      yield source.slice(from, to);
    }
  }

  remove(range: ByteRange): void {
    this.written.delete(range);
    for (const { page } of parts(range)) {
      const whole = { startByte: page * PAGE_BYTES, endByte: (page + 1) * PAGE_BYTES };
      const left = PAGE_BYTES - this.written.missing(whole).reduce((sum, gap) => sum + gap.endByte - gap.startByte, 0);
      if (left === 0) this.#pages.delete(page);
    }
  }
}

/** Where a range falls on the pages; `at` is the part's place within the range. */
function* parts(range: ByteRange): Generator<{ page: number; from: number; to: number; at: number }> {
  for (let at = range.startByte; at < range.endByte; ) {
    const page = Math.floor(at / PAGE_BYTES);
    const from = at - page * PAGE_BYTES;
    const to = Math.min(PAGE_BYTES, range.endByte - page * PAGE_BYTES);
    yield { page, from, to, at: at - range.startByte };
    at = page * PAGE_BYTES + to;
  }
}

/** A store in memory: for tests, and for caches that need not outlive the process. Committing does nothing. */
export function memoryChunkStore(): ChunkStore {
  const files = new Map<string, Map<string, SparseBytes>>();
  return {
    async write(fileId, generation, _chunk, offset, bytes) {
      let generations = files.get(fileId);
      if (generations === undefined) files.set(fileId, (generations = new Map()));
      let content = generations.get(generation);
      if (content === undefined) generations.set(generation, (content = new SparseBytes()));
      content.write(offset, bytes);
    },
    async commit() {},
    async *read(fileId, generation, range) {
      const content = files.get(fileId)?.get(generation);
      if (content === undefined) throw new RangeError(`nothing is stored of ${fileId}`);
      yield* content.read(range);
    },
    async remove(fileId, generation, _chunks, range) {
      const generations = files.get(fileId);
      if (range !== undefined) generations?.get(generation)?.remove(range);
      else if (generations?.delete(generation) && generations.size === 0) files.delete(fileId);
    },
    async usage() {
      let bytes = 0;
      for (const generations of files.values()) {
        for (const content of generations.values()) bytes += content.written.bytes;
      }
      return bytes;
    },
  };
}

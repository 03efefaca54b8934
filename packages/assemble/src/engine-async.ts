import { deferred } from '@chunks/base';
import { type CopyJob, checkOpened, closeChunk, endedEarly, openFailed, readFailed } from './copy-job.ts';
import { flags } from './file-port.ts';
import type { PlannedChunk } from './plan.ts';
import { writeAll } from './write-all.ts';

// Each call costs a round trip to the thread pool, so it moves more than the inline engine's; four of them keep the
// pool's default four threads busy while the event loop rests.
const DEFAULT_BUFFER_BYTES = 2 ** 20;
const LANES = 4;

/** A chunk that is open, with the number of its pieces that are still to be read. */
interface OpenChunk {
  readonly chunk: PlannedChunk;
  readonly fd: number;
  unread: number;
}

interface Piece {
  readonly of: OpenChunk;
  readonly at: number;
  readonly length: number;
  /** Settles when the pieces before have gone into the digests. */
  readonly turn: Promise<void>;
  readonly done: () => void;
}

/** Copies on the thread pool, up to four pieces at once, each read and written at its position. */
export function copyAsync(job: CopyJob): Promise<void> {
  return new AsyncCopy(job).run();
}

class AsyncCopy {
  readonly #job: CopyJob;
  readonly #bytes: number;
  readonly #open = new Set<OpenChunk>();
  // The first error in time: later ones are often only its consequences.
  #failure: { readonly error: unknown } | undefined;

  constructor(job: CopyJob) {
    this.#job = job;
    this.#bytes = job.bufferBytes ?? DEFAULT_BUFFER_BYTES;
  }

  async run(): Promise<void> {
    const queue = this.#pieces();
    try {
      // All lanes must have come to rest before a descriptor is closed: its number may be given to another file at once.
      await Promise.all(Array.from({ length: LANES }, () => this.#lane(queue)));
    } finally {
      for (const { fd } of this.#open) await closeChunk(this.#job.files, fd);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Never rejects. */
  async #lane(queue: AsyncGenerator<Piece>): Promise<void> {
    let buffer: Uint8Array | undefined;
    try {
      // One generator serves all lanes: it answers calls one after the other, so pieces go out in order.
      for (let next = await queue.next(); !next.done && !this.#failure; next = await queue.next()) {
        this.#job.signal?.throwIfAborted();
        buffer ??= Buffer.allocUnsafeSlow(this.#bytes);
        await this.#copy(next.value, buffer.subarray(0, next.value.length));
      }
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  async *#pieces(): AsyncGenerator<Piece> {
    let turn: Promise<void> = Promise.resolve();
    for (const chunk of this.#job.chunks) {
      const of = await this.#openChunk(chunk);
      let at = 0;
      // At least one piece, so that an empty chunk is digested and closed like any other.
      do {
        const mine = deferred<void>();
        yield { of, at, length: Math.min(this.#bytes, chunk.size - at), turn, done: () => mine.resolve() };
        turn = mine.promise;
        at += this.#bytes;
      } while (at < chunk.size);
    }
  }

  async #openChunk(chunk: PlannedChunk): Promise<OpenChunk> {
    const { files } = this.#job;
    let fd: number;
    try {
      fd = await files.open(chunk.path, flags.readChunk);
    } catch (cause) {
      throw openFailed(chunk, cause);
    }
    const of = { chunk, fd, unread: Math.max(1, Math.ceil(chunk.size / this.#bytes)) };
    this.#open.add(of);
    const fact = await files.fstat(fd).catch((cause) => {
      throw readFailed(chunk, cause);
    });
    checkOpened(chunk, fact);
    return of;
  }

  async #copy(piece: Piece, buffer: Uint8Array): Promise<void> {
    try {
      await this.#read(piece, buffer);
      if (this.#job.digests !== undefined) await this.#digest(piece, buffer);
    } catch (error) {
      // Noted before the turn is passed on, so that the lanes behind digest nothing out of order.
      this.#failure ??= { error };
    }
    piece.done();
    await this.#write(piece, buffer);
  }

  async #read({ of, at, length }: Piece, buffer: Uint8Array): Promise<void> {
    const { files } = this.#job;
    for (let got = 0; got < length; ) {
      const count = await files.read(of.fd, buffer, got, length - got, at + got).catch((cause) => {
        throw readFailed(of.chunk, cause);
      });
      if (count === 0) throw endedEarly(of.chunk, at + got);
      got += count;
    }
    if (--of.unread > 0) return;
    this.#open.delete(of);
    await closeChunk(files, of.fd);
  }

  async #digest({ of, at, length, turn }: Piece, bytes: Uint8Array): Promise<void> {
    await turn;
    const { digests } = this.#job;
    if (this.#failure !== undefined || digests === undefined) return;
    if (at === 0) digests.start(of.chunk);
    digests.update(bytes);
    if (at + length === of.chunk.size) digests.end(of.chunk);
  }

  async #write({ of, at, length }: Piece, buffer: Uint8Array): Promise<void> {
    const failed = (): boolean => this.#failure !== undefined;
    await writeAll(this.#job, buffer, of.chunk.startByte + at, failed);
    if (!failed()) this.#job.wrote(of.chunk, length);
  }
}

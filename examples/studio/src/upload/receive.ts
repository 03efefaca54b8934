import type { LocalLock } from '@chunks/locks';
import { HttpProblem } from '../http/problem.ts';
import { sha256Of } from './content-digest.ts';
import type { Upload } from './upload.ts';
import { LOCK_OPTIONS, type UploadHooks, type Uploads } from './uploads.ts';

/** @throws HttpProblem 400 unless it is a plain number, 404 beyond the last chunk */
function chunkIndex(upload: Upload, text: string): number {
  if (!/^(0|[1-9]\d{0,8})$/.test(text)) {
    throw new HttpProblem(400, 'bad-index', 'A chunk index is a whole number from 0, without leading zeros');
  }
  const index = Number(text);
  if (index >= upload.chunkCount) {
    throw new HttpProblem(404, 'no-such-chunk', `The upload has ${upload.chunkCount} chunks, counted from 0`);
  }
  return index;
}

function checkLength(upload: Upload, index: number, request: Request, hooks: UploadHooks): number {
  const header = request.headers.get('content-length');
  if (header === null) throw new HttpProblem(411, 'length-required', 'Send Content-Length with the chunk');
  const expected = upload.sizeOf(index);
  const actual = Number(header);
  if (actual === expected) return expected;
  hooks.sizeMismatch({ outcome: 'refused', id: upload.id, index, expected, actual });
  const detail = `Chunk ${index} is ${expected} bytes long, Content-Length says ${header}`;
  throw actual > expected
    ? new HttpProblem(413, 'chunk-too-large', detail)
    : new HttpProblem(400, 'wrong-length', detail);
}

function checkOpen(upload: Upload): void {
  if (upload.removed) throw new HttpProblem(404, 'unknown-upload', 'The upload was deleted');
  if (upload.stage === 'assembling' || upload.stage === 'ready') {
    throw new HttpProblem(409, 'not-open', `The upload takes no more chunks: it is ${upload.stage}`);
  }
}

/**
 * Takes one chunk from a client. The body is written to a temp as it comes, however slowly; the locks are taken only
 * when its last byte is there, and held while the temp is checked and published: the upload's shared (against assembly
 * and removal), the chunk's own exclusive (against a second sender of it).
 */
export async function receiveChunk(upload: Upload, text: string, request: Request, uploads: Uploads): Promise<void> {
  const { locks, hooks } = uploads.options;
  const index = chunkIndex(upload, text);
  checkOpen(upload);
  const hex = sha256Of(request.headers.get('content-digest'));
  const size = checkLength(upload, index, request, hooks);
  const { signal } = request;
  const arrival = upload.arrive(index);
  const held: LocalLock[] = [];

  async function* bytesThenLocks(): AsyncGenerator<Uint8Array> {
    for await (const piece of request.body ?? []) {
      arrival.piece(piece.byteLength);
      hooks.received(piece.byteLength);
      hooks.changed(upload.id);
      yield piece;
    }
    held.push(await locks.acquire(`upload:${upload.id}`, { ...LOCK_OPTIONS, mode: 'shared', signal }));
    checkOpen(upload);
    held.push(await locks.acquire(`upload:${upload.id}:${index}`, { ...LOCK_OPTIONS, signal }));
  }

  try {
    await upload.chunks.write(index, bytesThenLocks(), { size, digest: { algorithm: 'sha256', hex }, signal });
    arrival.stored();
  } catch (error) {
    // Removal does not wait for a sender, so its temp may be pulled away from under it.
    if (upload.removed) checkOpen(upload);
    throw error;
  } finally {
    for (const lock of held.reverse()) lock.release();
    arrival.end();
    hooks.changed(upload.id);
  }
}

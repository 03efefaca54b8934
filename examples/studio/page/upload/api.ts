import type { AssemblyReport, UploadRequest, UploadStatus } from '../../src/protocol.ts';
import { RequestError, request } from '../request.ts';
import type { UploadServer } from './controller.ts';

/** A chunk that gets no answer in this time is given up and sent again. */
const CHUNK_TIMEOUT_MS = 120_000;

async function json<T>(path: string, init: RequestInit, timeoutMs?: number): Promise<T> {
  const response = await request(path, init, timeoutMs);
  try {
    return (await response.json()) as T;
  } catch (cause) {
    init.signal?.throwIfAborted();
    throw new RequestError('The answer broke off.', 0, { cause });
  }
}

const JSON_TYPE = { 'Content-Type': 'application/json' };

function createUpload(upload: UploadRequest, signal: AbortSignal): Promise<UploadStatus> {
  return json('/uploads', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(upload), signal });
}

function describeUpload(id: string, signal: AbortSignal): Promise<UploadStatus> {
  return json(`/uploads/${encodeURIComponent(id)}`, { signal });
}

async function sendChunk(id: string, index: number, body: Blob, signal: AbortSignal): Promise<void> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await readSlice(body)));
  const headers = {
    'Content-Type': 'application/octet-stream',
    'Content-Digest': `sha-256=:${btoa(String.fromCharCode(...digest))}:`,
  };
  const path = `/uploads/${encodeURIComponent(id)}/chunks/${index}`;
  // The slice, not the bytes read from it: Chromium sends buffers of this size many times slower than blobs. Should
  // the file change in between, the server refuses the chunk by its digest.
  await request(path, { method: 'PUT', headers, body, signal }, CHUNK_TIMEOUT_MS);
}

async function readSlice(body: Blob): Promise<ArrayBuffer> {
  try {
    return await body.arrayBuffer();
  } catch (cause) {
    throw new RequestError('The file cannot be read any more: it was changed, moved or deleted.', 400, { cause });
  }
}

/** Waits for as long as it takes: the map shows how far it is. */
function assembleUpload(id: string, signal: AbortSignal): Promise<AssemblyReport> {
  return json(`/uploads/${encodeURIComponent(id)}/assemble`, { method: 'POST', signal }, 30 * 60_000);
}

async function deleteUpload(id: string): Promise<void> {
  await request(`/uploads/${encodeURIComponent(id)}`, { method: 'DELETE' });
}

/** The server of this page. */
export const server: UploadServer = {
  create: createUpload,
  describe: describeUpload,
  send: sendChunk,
  assemble: assembleUpload,
  remove: deleteUpload,
};

import { describe, expect, test } from 'vitest';
import { RequestError } from '../page/request.ts';
import { UploadController, type UploadServer, type UploadState } from '../page/upload/controller.ts';
import { UploadMemory } from '../page/upload/memory.ts';
import type { AssemblyReport, UploadRequest, UploadStatus } from '../src/protocol.ts';

const CHUNK_BYTES = 10;

interface Kept {
  status: UploadStatus;
  readonly stored: Set<number>;
}

/** A server in memory; `down` makes every request fail as a dead one does, `onSend` steps in before a chunk is stored. */
class FakeServer implements UploadServer {
  readonly uploads = new Map<string, Kept>();
  readonly sent: string[] = [];
  down = 0;
  #created = 0;
  onSend: (index: number) => void = () => {};

  async create(upload: UploadRequest): Promise<UploadStatus> {
    this.#answer();
    this.#created += 1;
    const id = `u${this.#created}`;
    const chunkCount = Math.ceil(upload.sizeBytes / CHUNK_BYTES);
    const facts = { id, name: upload.name, sizeBytes: upload.sizeBytes, contentType: upload.contentType ?? '' };
    const status = { ...facts, chunkSizeBytes: CHUNK_BYTES, chunkCount, missing: [], stage: 'uploading' as const };
    this.uploads.set(id, { status, stored: new Set() });
    return this.describe(id);
  }

  async describe(id: string): Promise<UploadStatus> {
    this.#answer();
    const { status, stored } = this.#find(id);
    const all = Array.from({ length: status.chunkCount }, (_, index) => index);
    return { ...status, missing: all.filter((index) => !stored.has(index)) };
  }

  async send(id: string, index: number, body: Blob, signal: AbortSignal): Promise<void> {
    await body.arrayBuffer();
    this.onSend(index);
    signal.throwIfAborted();
    this.#answer();
    this.#find(id).stored.add(index);
    this.sent.push(`${id}/${index}`);
  }

  async assemble(id: string): Promise<AssemblyReport> {
    this.#answer();
    const kept = this.#find(id);
    expect(kept.stored.size).toBe(kept.status.chunkCount);
    kept.status = { ...kept.status, stage: 'ready' };
    const { sizeBytes: bytes, chunkCount: chunks } = kept.status;
    return { id, bytes, chunks, engine: 'fake', durationMs: 1, sha256: '', rssGrowthBytes: 0 };
  }

  async remove(id: string): Promise<void> {
    this.#find(id);
    this.uploads.delete(id);
  }

  #answer(): void {
    if (this.down === 0) return;
    this.down -= 1;
    throw new RequestError('The server does not answer.', 0);
  }

  #find(id: string): Kept {
    const kept = this.uploads.get(id);
    if (kept === undefined) throw new RequestError('No such upload.', 404);
    return kept;
  }
}

class Storage {
  value: string | null = null;
  getItem(): string | null {
    return this.value;
  }
  setItem(_key: string, value: string): void {
    this.value = value;
  }
}

/** A page on a server; another page with the same storage is the page after a reload. */
class Page {
  readonly phases: string[] = [];
  readonly controller: UploadController;
  #settled: (state: UploadState) => void = () => {};

  constructor(server: UploadServer, storage: Storage) {
    this.controller = new UploadController({
      server,
      memory: new UploadMemory(storage),
      wait: async (_ms, signal) => signal.throwIfAborted(),
      now: () => 0,
      random: () => 0,
      onChange: (state) => {
        if (this.phases.at(-1) !== state.phase) this.phases.push(state.phase);
        if (['done', 'failed', 'paused'].includes(state.phase) && state.queued === 0) this.#settled(state);
      },
    });
  }

  /** The state in which the next run ends. */
  async after(start: () => void): Promise<UploadState> {
    const settled = new Promise<UploadState>((resolve) => {
      this.#settled = resolve;
    });
    start();
    const state = await settled;
    // The run's own clean-up comes after its last word.
    await new Promise((resolve) => setTimeout(resolve, 0));
    return state;
  }
}

function clip(size = 75, name = 'clip.webm'): File {
  return new File([new Uint8Array(size)], name, { type: 'video/webm', lastModified: 5 });
}

describe('an upload', () => {
  test('goes from a file to an assembled one, and nothing is left to remember', async () => {
    const [server, storage] = [new FakeServer(), new Storage()];
    const page = new Page(server, storage);
    const state = await page.after(() => page.controller.add([clip()]));
    expect(state).toMatchObject({ phase: 'done', id: 'u1', name: 'clip.webm', sizeBytes: 75 });
    expect(server.uploads.get('u1')?.status.stage).toBe('ready');
    expect(server.sent.length).toBe(8);
    expect(new UploadMemory(storage).list()).toEqual([]);
    expect(page.phases).toEqual(['idle', 'asking', 'sending', 'assembling', 'done']);
  });

  test('of nothing is assembled all the same', async () => {
    const server = new FakeServer();
    const page = new Page(server, new Storage());
    expect(await page.after(() => page.controller.add([clip(0)]))).toMatchObject({ phase: 'done' });
    expect(server.uploads.get('u1')?.status.stage).toBe('ready');
  });

  test('several take their turns', async () => {
    const server = new FakeServer();
    const page = new Page(server, new Storage());
    await page.after(() => page.controller.add([clip(20, 'a'), clip(30, 'b'), clip(10, 'c')]));
    expect([...server.uploads.values()].map(({ status }) => [status.name, status.stage])).toEqual([
      ['a', 'ready'],
      ['b', 'ready'],
      ['c', 'ready'],
    ]);
  });

  test('waits through every kind of silence: at its start, on its way, at its end', async () => {
    const server = new FakeServer();
    const page = new Page(server, new Storage());
    server.down = 3;
    server.onSend = (index) => {
      if (index !== 5) return;
      server.down = 6;
      server.onSend = () => {};
    };
    expect(await page.after(() => page.controller.add([clip()]))).toMatchObject({ phase: 'done' });
    expect(new Set(server.sent).size).toBe(server.sent.length);
    expect(page.phases).toContain('waiting');
    expect(server.uploads.size).toBe(1);
  });
});

describe('after a reload', () => {
  async function interrupted(): Promise<{ server: FakeServer; storage: Storage; sentBefore: number }> {
    const [server, storage] = [new FakeServer(), new Storage()];
    const page = new Page(server, storage);
    server.onSend = () => {
      if (server.sent.length === 3) page.controller.pause();
    };
    await page.after(() => page.controller.add([clip()]));
    server.onSend = () => {};
    return { server, storage, sentBefore: server.sent.length };
  }

  test('an unfinished upload asks for its file, and goes on with what is missing only', async () => {
    const { server, storage, sentBefore } = await interrupted();
    expect(sentBefore).toBeLessThan(8);
    const page = new Page(server, storage);
    await page.controller.restore();
    const [kept] = page.controller.state.unfinished;
    expect(kept).toMatchObject({ id: 'u1', name: 'clip.webm', size: 75 });
    const state = await page.after(() => page.controller.add([clip()]));
    expect(state).toMatchObject({ phase: 'done', id: 'u1', unfinished: [] });
    expect(server.sent.length).toBe(8);
    expect(new Set(server.sent).size).toBe(8);
  });

  test('another file is refused with the reason, and nothing is sent', async () => {
    const { server, storage, sentBefore } = await interrupted();
    const page = new Page(server, storage);
    await page.controller.restore();
    const [kept] = page.controller.state.unfinished;
    if (kept === undefined) throw new Error('nothing unfinished');
    page.controller.goOn(kept, clip(74));
    expect(page.controller.state.problem).toMatch(/74 bytes.*75 bytes/);
    expect(server.sent.length).toBe(sentBefore);
  });

  test('a whole upload is assembled without its file', async () => {
    const { server, storage } = await interrupted();
    const kept = server.uploads.get('u1');
    for (let index = 0; index < 8; index += 1) kept?.stored.add(index);
    const page = new Page(server, storage);
    const state = await page.after(() => void page.controller.restore());
    expect(state.phase).toBe('done');
    expect(kept?.status.stage).toBe('ready');
  });

  test('an upload that is gone or ready is forgotten', async () => {
    const { server, storage } = await interrupted();
    server.uploads.clear();
    const page = new Page(server, storage);
    await page.controller.restore();
    expect(page.controller.state.unfinished).toEqual([]);
    expect(new UploadMemory(storage).list()).toEqual([]);
  });

  test('a file whose upload is gone begins a new one', async () => {
    const { server, storage } = await interrupted();
    server.uploads.clear();
    const page = new Page(server, storage);
    expect(await page.after(() => page.controller.add([clip()]))).toMatchObject({ phase: 'done' });
    expect(server.uploads.get('u2')?.stored.size).toBe(8);
  });
});

describe('pause and discard', () => {
  test('a paused upload goes on where it stopped', async () => {
    const server = new FakeServer();
    const page = new Page(server, new Storage());
    server.onSend = () => {
      if (server.sent.length === 2) page.controller.pause();
    };
    expect(await page.after(() => page.controller.add([clip()]))).toMatchObject({ phase: 'paused', id: 'u1' });
    server.onSend = () => {};
    expect(await page.after(() => page.controller.resume())).toMatchObject({ phase: 'done' });
    expect(server.sent.length).toBe(8);
  });

  test('a discarded upload is gone here and there, and the next file has its turn', async () => {
    const [server, storage] = [new FakeServer(), new Storage()];
    const page = new Page(server, storage);
    server.onSend = () => {
      if (server.sent.length !== 2) return;
      server.onSend = () => {};
      void page.controller.discard('u1');
    };
    await page.after(() => page.controller.add([clip(75, 'a'), clip(20, 'b')]));
    expect([...server.uploads.values()].map(({ status }) => [status.name, status.stage])).toEqual([['b', 'ready']]);
    expect(new UploadMemory(storage).list()).toEqual([]);
  });

  test('discarding what the server has lost already is no problem, a refusal is one', async () => {
    const server = new FakeServer();
    const page = new Page(server, new Storage());
    expect(await page.controller.discard('u9')).toBe(true);
    expect(page.controller.state.problem).toBeUndefined();
    server.remove = async () => {
      throw new RequestError('It is being assembled.', 409);
    };
    expect(await page.controller.discard('u9')).toBe(false);
    expect(page.controller.state.problem).toBe('It is being assembled.');
  });

  test('an upload deleted under way fails with the reason, and another try begins a new one', async () => {
    const server = new FakeServer();
    const page = new Page(server, new Storage());
    server.onSend = () => {
      if (server.sent.length === 2) server.uploads.clear();
    };
    const failed = await page.after(() => page.controller.add([clip()]));
    expect(failed).toMatchObject({ phase: 'failed', problem: 'No such upload.' });
    server.onSend = () => {};
    expect(await page.after(() => page.controller.resume())).toMatchObject({ phase: 'done' });
  });
});

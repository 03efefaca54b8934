import { join } from 'node:path';
import { KeyedMutex } from '@chunks/locks';
import type { ChunkManager } from '@chunks/manager';
import { createState } from '@chunks/state';
import { sqliteStore } from '@chunks/state/sqlite';
import { Hono } from 'hono';
import { Batch, type BatchRecord } from './batch/batch.ts';
import { batchApp } from './batch/routes.ts';
import { jsonResponse } from './http/json.ts';
import { HttpProblem } from './http/problem.ts';
import { route } from './http/route.ts';
import { CacheRuns } from './live/cache-runs.ts';
import { fileView } from './live/file-view.ts';
import { LiveHub, type LiveSource } from './live/hub.ts';
import { type PanelSources, readPanels } from './live/panels.ts';
import { liveApp } from './live/routes.ts';
import { describeError, type Log } from './log.ts';
import { type Counters, metricsText } from './metrics.ts';
import type { StudioOptions } from './options.ts';
import { openCache } from './play/cache.ts';
import type { Library, PlayableFile } from './play/library.ts';
import { Origin, originApp } from './play/origin.ts';
import { Playheads } from './play/playheads.ts';
import { playApp } from './play/routes.ts';
import type { OriginSettings } from './protocol.ts';
import { uploadApp } from './upload/routes.ts';
import { sweepUploads } from './upload/sweep.ts';
import { type SizeMismatch, type UploadHooks, Uploads } from './upload/uploads.ts';

const BATCH_ID = 'studio';
const STALE_UPLOAD_MS = 2 * 60 * 60_000;
const SWEEP_EVERY_MS = 30 * 60_000;
const PLAYHEAD_IDLE_MS = 20_000;
const BACKENDS = { locks: 'memory', state: 'sqlite', uploads: 'files', cache: 'sqlite + files' };
const LIMITS = { maxOpenUploads: 1_000, maxChunks: 65_536 };

export interface Studio {
  /** Every route but the page. */
  readonly app: Hono;
  /** Stops what runs in the background and closes what is open; requests should be over by then. */
  close(): Promise<void>;
  /** To be called first: assemblies and listening pages end, so that their requests do. */
  stop(): void;
}

export interface StudioContext {
  readonly options: StudioOptions;
  readonly directory: string;
  readonly log: Log;
  /** Where this server itself answers; asked when the cache fetches from the built-in origin. */
  ownUrl(): string;
}

/** Wires the four packages to one another: they know nothing of each other, so what they have to tell goes through here. */
export async function openStudio(context: StudioContext): Promise<Studio> {
  const { options, directory, log } = context;
  const stop = new AbortController();
  const counted = { sizeMismatches: { refused: 0, failed: 0 }, uploadBytes: 0 };
  const fileChanged = (id: string): void => hub.fileChanged(id);

  const locks = openLocks(log);
  const state = createState<BatchRecord>({
    store: sqliteStore(join(directory, 'state.sqlite')),
    initial: Batch.initial,
  });
  const batch = new Batch(BATCH_ID, state, () => hub.batchChanged());
  const library: Library = { find: (id) => playableUpload(uploads, id) };
  const origin = new Origin({ library, settings: originSettings(options) });
  const manager = await openManager(context);
  const playheads = new Playheads(manager, PLAYHEAD_IDLE_MS, fileChanged);
  const sources: PanelSources = { locks, state, manager, origin };
  const hub = new LiveHub({
    source: liveSource(() => uploads, batch, sources, new CacheRuns(manager, options.cacheChunkSizeBytes, fileChanged)),
    onError: (error) => log('live-failed', { error: describeError(error) }),
  });

  const uploads: Uploads = await Uploads.open({
    directory,
    limits: { ...LIMITS, chunkSizeBytes: options.chunkSizeBytes, maxFileBytes: options.maxFileBytes },
    locks,
    log,
    hooks: uploadHooks({ batch, playheads, origin, manager, counted, log, fileChanged }),
  });
  const sweeper = sweepUploads(uploads, { olderThanMs: STALE_UPLOAD_MS, everyMs: SWEEP_EVERY_MS });

  const app = new Hono();
  app.route('/', uploadApp({ uploads, stop: stop.signal }));
  app.route('/', batchApp({ find: (id) => (id === BATCH_ID ? batch : undefined) }));
  app.route('/', playApp({ library, manager, playheads, origin, changed: fileChanged }));
  app.route('/', originApp(origin));
  app.route('/', liveApp(hub));
  app.route(
    '/',
    watchApp(() => metricsText(sources, { ...counted, ...nowCounted(uploads, hub) })),
  );

  return {
    app,
    stop: () => {
      stop.abort(new HttpProblem(503, 'stopping', 'The server is stopping; ask again later', { 'retry-after': '5' }));
      hub.close();
    },
    close: async () => {
      await sweeper[Symbol.asyncDispose]();
      playheads.endAll();
      await manager.close();
      await state.close();
      await locks.close();
    },
  };
}

interface Affected {
  readonly batch: Batch;
  readonly playheads: Playheads;
  readonly origin: Origin;
  readonly manager: ChunkManager;
  readonly counted: { sizeMismatches: Record<SizeMismatch['outcome'], number>; uploadBytes: number };
  readonly log: Log;
  fileChanged(id: string): void;
}

/** What an upload's life means to the batch record, to the cache and to the counters. */
const uploadHooks = ({ batch, playheads, origin, manager, counted, log, fileChanged }: Affected): UploadHooks => ({
  created: async ({ id, name, sizeBytes }) => void (await batch.start({ fileId: id, name, sizeBytes })),
  assembled: async ({ id }) => void (await batch.complete(id)),
  removed: async (id) => {
    playheads.endAll(id);
    origin.forget(id);
    await manager.removeFile(id);
    await batch.remove(id);
  },
  changed: fileChanged,
  received: (bytes) => void (counted.uploadBytes += bytes),
  sizeMismatch: (mismatch) => {
    counted.sizeMismatches[mismatch.outcome]++;
    log('size-mismatch', { ...mismatch });
  },
});

function openLocks(log: Log): KeyedMutex {
  const locks = new KeyedMutex();
  locks.on('expired', ({ key, heldMs }) => log('lock-reclaimed', { key, heldMs }));
  return locks;
}

async function openManager({ options, directory, log, ownUrl }: StudioContext): Promise<ChunkManager> {
  const manager = await openCache({
    directory,
    chunkSizeBytes: options.cacheChunkSizeBytes,
    maxBytes: options.cacheBytes,
    originUrl: (fileId) => `${ownUrl()}/origin/${fileId}`,
    token: options.token,
  });
  manager.on('failed', ({ fileId, chunk, attempts, cause }) =>
    log('retry-exhausted', { fileId, chunk, attempts, error: describeError(cause) }),
  );
  return manager;
}

const originSettings = (options: StudioOptions): OriginSettings => ({
  paceBytesPerSecond: options.originPaceBytesPerSecond,
  latencyMs: options.originLatencyMs,
  fault: 'none',
  faultEvery: 0,
});

const liveSource = (uploads: () => Uploads, batch: Batch, sources: PanelSources, cacheRuns: CacheRuns): LiveSource => ({
  fileIds: () =>
    uploads()
      .list()
      .map((upload) => upload.id),
  file: (id) => {
    const upload = uploads().find(id);
    return upload === undefined ? undefined : fileView(upload, cacheRuns);
  },
  batch: () => batch.view(),
  panels: () => readPanels(sources),
});

function playableUpload(uploads: Uploads, id: string): PlayableFile | undefined {
  const upload = uploads.find(id);
  const record = upload?.record;
  if (upload?.removed || record?.assembly === undefined) return undefined;
  const { name, sizeBytes, contentType, assembly } = record;
  return { id, name, sizeBytes, contentType, path: uploads.pathOf(id), sha256: assembly.sha256 };
}

const nowCounted = (uploads: Uploads, hub: LiveHub): Pick<Counters, 'uploadStages' | 'liveClients'> => ({
  uploadStages: uploads.list().map((upload) => upload.stage),
  liveClients: hub.clients,
});

/** `/healthz` and `/metrics`. */
function watchApp(metrics: () => string): Hono {
  const app = new Hono();
  const headers = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' };
  route(app, '/healthz', { GET: () => jsonResponse({ status: 'ok', backends: BACKENDS }) });
  route(app, '/metrics', { GET: () => new Response(metrics(), { headers }) });
  return app;
}

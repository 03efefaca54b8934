/**
 * Every JSON shape that crosses between the page and the server: the one file that both import.
 * Byte ranges are half-open, as everywhere; HTTP's inclusive ends stay inside Range and Content-Range.
 *
 * | route | does |
 * |-|-|
 * | `POST /uploads` {@link UploadRequest} | 201 {@link UploadStatus}, Location |
 * | `GET /uploads/:id` | {@link UploadStatus}: what a client needs to go on after a reload or a crash |
 * | `PUT /uploads/:id/chunks/:index` | the chunk's bytes, Content-Length and `Content-Digest: sha-256=:…:` → 204 |
 * | `POST /uploads/:id/assemble` | {@link AssemblyReport}; the same answer when it is already assembled |
 * | `DELETE /uploads/:id` | 204: chunks, file, cache and batch entry are gone |
 * | `GET /batches/:id` | {@link BatchView}, ETag = version |
 * | `POST /batches/:id/files` {@link BatchFileRequest} | 201 {@link BatchCommit}: start; 200 when it was started before |
 * | `POST /batches/:id/files/:fileId/complete` | 200 {@link BatchCommit}; 404 when never started; If-Match → 412 |
 * | `POST /batches/:id/finalize` | 200 {@link BatchFinal}; 409 while files are not complete; a later start opens it again |
 * | `GET, HEAD /play/:id` | the file through the range cache: RFC 9110 ranges, 503 + Retry-After on wait timeout |
 * | `POST /play/:id/playhead` {@link PlayheadRequest} | 204: moves this reader's prefetch window |
 * | `DELETE /play/:id/cache` | 204: empties the cache, so that playing is cold again |
 * | `GET, HEAD /origin/:id` | the built-in origin that the cache reads from: paced, delayed, faulty on demand |
 * | `GET /origin/:id/requests` {@link OriginRequests} | which bytes were asked of it since the cache was last emptied |
 * | `GET, PUT /origin` {@link OriginSettings} | its controls |
 * | `GET /live` | server-sent events: `snapshot` ({@link LiveSnapshot}) first, then `delta` ({@link LiveDelta}) ≤ 10 a second |
 * | `GET /sample.webm` | the sample video of the repository |
 * | `GET /healthz`, `GET /metrics` | back ends in use; Prometheus text |
 *
 * Errors are problem JSON (`application/problem+json`, {@link Problem}) with a 4xx or 5xx.
 */
export interface UploadRequest {
  readonly name: string;
  readonly sizeBytes: number;
  readonly contentType?: string | undefined;
}

export interface UploadStatus {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly contentType: string;
  readonly chunkSizeBytes: number;
  readonly chunkCount: number;
  /** Indices not stored yet, ascending. */
  readonly missing: readonly number[];
  readonly stage: Stage;
  readonly assembly?: AssemblyReport | undefined;
}

export type Stage = 'uploading' | 'assembling' | 'ready' | 'failed';

export interface AssemblyReport {
  readonly id: string;
  readonly bytes: number;
  readonly chunks: number;
  readonly engine: string;
  readonly durationMs: number;
  /** sha-256 of the whole file as it lies on disk, hex. */
  readonly sha256: string;
  /** Resident memory gained while assembling. */
  readonly rssGrowthBytes: number;
}

export interface BatchFileRequest {
  readonly fileId: string;
  readonly name: string;
  readonly sizeBytes: number;
}

export interface BatchCommit {
  readonly version: number;
  /** The update's place in its commit: (version, index) is unique and orders all updates. Absent when nothing was written. */
  readonly index?: number | undefined;
  readonly file: BatchFile;
}

export interface BatchFile {
  readonly fileId: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly status: 'started' | 'complete';
  /** The version of the batch record at which this file's status was last written. */
  readonly version: number;
}

export interface BatchView {
  readonly id: string;
  readonly version: number;
  readonly status: 'open' | 'enqueued';
  readonly files: readonly BatchFile[];
}

export interface BatchFinal {
  readonly filesUploaded: number;
  readonly status: 'enqueued';
}

export interface PlayheadRequest {
  /** Names the reader: one player on one page. */
  readonly owner: string;
  readonly byte: number;
  readonly bitrateBitsPerSecond?: number | undefined;
}

export interface OriginSettings {
  /** 0: as fast as it goes. */
  readonly paceBytesPerSecond: number;
  readonly latencyMs: number;
  /** Every `faultEvery`-th request fails that way; 0 with 'none'. */
  readonly fault: 'none' | 'status503' | 'truncate';
  readonly faultEvery: number;
}

export interface OriginRequests {
  readonly ranges: readonly { readonly startByte: number; readonly endByte: number }[];
}

/** A stretch of a file in one state; adjacent runs cover the file without a gap. */
export interface Run {
  readonly startByte: number;
  readonly endByte: number;
  readonly state: 'missing' | 'queued' | 'fetching' | 'present' | 'failed';
  readonly priority?: 'CRITICAL' | 'HIGH' | 'MEDIUM' | 'LOW' | undefined;
  /** Of a run in flight: how many of its bytes are here, from the left. */
  readonly bytesSoFar?: number | undefined;
  readonly waiters?: number | undefined;
  readonly attempts?: number | undefined;
}

export interface Cursor {
  readonly owner: string;
  readonly byte: number;
  readonly window: { readonly startByte: number; readonly endByte: number };
}

/** One file in all its stages. */
export interface FileView {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly contentType: string;
  readonly stage: Stage;
  readonly uploadRuns: readonly Run[];
  /** Empty until the file is ready. */
  readonly cacheRuns: readonly Run[];
  readonly cursors: readonly Cursor[];
  readonly assembly?: AssemblyReport | undefined;
  readonly assembledBytes?: number | undefined;
  /** What went wrong, when stage is 'failed'. */
  readonly problem?: string | undefined;
}

export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export interface Panels {
  readonly locks: {
    readonly active: number;
    readonly waiting: number;
    readonly oldestMs: number;
    readonly acquired: number;
    readonly timedOut: number;
    readonly wait: Percentiles;
    /** Over 100 active or a lock older than 20 s. */
    readonly amber: boolean;
  };
  readonly state: {
    readonly updates: number;
    readonly commits: number;
    readonly conflicts: number;
    readonly coalesced: number;
    readonly latency: Percentiles;
  };
  readonly cache: {
    readonly queued: Readonly<Record<'CRITICAL' | 'HIGH' | 'MEDIUM' | 'LOW', number>>;
    readonly active: number;
    readonly waiters: number;
    readonly bytesFetched: number;
    readonly bytesWasted: number;
    readonly retries: number;
    readonly criticalWait: Percentiles;
  };
  readonly origin: { readonly requests: number; readonly faults: number; readonly settings: OriginSettings };
}

export interface LiveSnapshot {
  readonly files: readonly FileView[];
  readonly batch: BatchView;
  readonly panels: Panels;
}

export interface LiveDelta {
  /** Whole views of the files that changed. */
  readonly files?: readonly FileView[] | undefined;
  readonly removed?: readonly string[] | undefined;
  readonly batch?: BatchView | undefined;
  readonly panels?: Panels | undefined;
}

/** RFC 9457. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string | undefined;
}

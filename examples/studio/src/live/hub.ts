import { HttpProblem } from '../http/problem.ts';
import type { BatchView, FileView, LiveDelta, LiveSnapshot, Panels } from '../protocol.ts';

export interface LiveSource {
  fileIds(): string[];
  /** undefined when it is gone. */
  file(id: string): FileView | undefined;
  batch(): Promise<BatchView>;
  panels(): Panels;
}

export interface LiveOptions {
  readonly source: LiveSource;
  /** Shortest time between two messages to one client, in ms. @default 100 */
  readonly everyMs?: number | undefined;
  /** A client that takes nothing for so long is let go; it will connect again. @default 30_000 */
  readonly stuckMs?: number | undefined;
  readonly maxClients?: number | undefined;
  onError(error: unknown): void;
}

interface Part<T> {
  readonly value: T;
  readonly json: string;
  readonly revision: number;
}

interface Client {
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  /** What it has been told of: it is sent whatever is newer, however long it was slow. */
  revision: number;
  sentMs: number;
  takenMs: number;
}

const HEARTBEAT_MS = 15_000;
const encoder = new TextEncoder();
const message = (event: string, data: unknown): Uint8Array =>
  encoder.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);

/**
 * Server-sent events: one snapshot, then what has changed since. State is kept once, with a revision a part, and
 * nothing is queued for anybody: a slow client has one message under way, and the next one skips what it missed.
 */
export class LiveHub {
  readonly #source: LiveSource;
  readonly #everyMs: number;
  readonly #stuckMs: number;
  readonly #maxClients: number;
  readonly #onError: (error: unknown) => void;
  readonly #clients = new Set<Client>();
  readonly #dirty = new Set<string>();
  readonly #files = new Map<string, Part<FileView>>();
  /** Revision at which a file went; kept as long as somebody may not have heard. */
  readonly #removed = new Map<string, number>();
  #batchDirty = true;
  #batch: Part<BatchView> | undefined;
  #panels: Part<Panels> | undefined;
  #revision = 0;
  #timer: NodeJS.Timeout | undefined;
  #ticking = false;

  constructor(options: LiveOptions) {
    this.#source = options.source;
    this.#everyMs = options.everyMs ?? 100;
    this.#stuckMs = options.stuckMs ?? 30_000;
    this.#maxClients = options.maxClients ?? 100;
    this.#onError = options.onError;
  }

  get clients(): number {
    return this.#clients.size;
  }

  fileChanged(id: string): void {
    this.#dirty.add(id);
  }

  batchChanged(): void {
    this.#batchDirty = true;
  }

  /** A client's stream; it ends when the client goes, or when the hub closes. @throws HttpProblem 503 when too many are there */
  connect(): ReadableStream<Uint8Array> {
    if (this.#clients.size >= this.#maxClients) {
      throw new HttpProblem(503, 'too-many-listeners', `${this.#maxClients} pages are listening`, {
        'retry-after': '5',
      });
    }
    let client: Client;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          client = { controller, revision: -1, sentMs: 0, takenMs: performance.now() };
          this.#clients.add(client);
          this.#timer ??= setInterval(() => void this.#tick(), this.#everyMs).unref();
          void this.#tick();
        },
        pull: () => {
          client.takenMs = performance.now();
        },
        cancel: () => this.#leave(client),
      },
      // One message may wait to be taken; `desiredSize` says when it has been.
      { highWaterMark: 1 },
    );
  }

  close(): void {
    for (const client of this.#clients) this.#end(client);
  }

  async #tick(): Promise<void> {
    if (this.#ticking) return;
    this.#ticking = true;
    try {
      await this.#refresh();
      const now = performance.now();
      for (const client of this.#clients) this.#serve(client, now);
      this.#forgetRemoved();
    } catch (error) {
      this.#onError(error);
    } finally {
      this.#ticking = false;
    }
  }

  async #refresh(): Promise<void> {
    const next = this.#revision + 1;
    // The first look takes in everything; later ones only what was said to have changed.
    const ids = this.#panels === undefined ? this.#source.fileIds() : [...this.#dirty];
    this.#dirty.clear();
    for (const id of ids) this.#refreshFile(id, next);
    if (this.#batchDirty) {
      this.#batchDirty = false;
      const batch = await this.#source.batch().catch((error: unknown) => {
        // Asked again at the next look: what this one missed would otherwise stay untold.
        this.#batchDirty = true;
        throw error;
      });
      this.#batch = this.#renew(this.#batch, batch, next);
    }
    this.#panels = this.#renew(this.#panels, this.#source.panels(), next);
  }

  #refreshFile(id: string, next: number): void {
    const view = this.#source.file(id);
    const known = this.#files.get(id);
    if (view !== undefined) this.#files.set(id, this.#renew(known, view, next));
    else if (this.#files.delete(id)) {
      this.#removed.set(id, next);
      this.#revision = next;
    }
  }

  #renew<T>(known: Part<T> | undefined, value: T, next: number): Part<T> {
    const json = JSON.stringify(value);
    if (known?.json === json) return known;
    this.#revision = next;
    return { value, json, revision: next };
  }

  #serve(client: Client, now: number): void {
    if ((client.controller.desiredSize ?? 0) <= 0) {
      if (now - client.takenMs > this.#stuckMs) this.#end(client);
      return;
    }
    if (client.revision < 0) this.#send(client, now, message('snapshot', this.#snapshot()));
    else if (client.revision < this.#revision) {
      // Timers jitter by a millisecond; the limit is what the reader of the page sees, so it is kept exactly.
      if (now - client.sentMs >= this.#everyMs) this.#send(client, now, message('delta', this.#deltaFor(client)));
    } else if (now - client.sentMs > HEARTBEAT_MS) this.#send(client, now, encoder.encode(': still here\n\n'));
  }

  #send(client: Client, now: number, bytes: Uint8Array): void {
    client.controller.enqueue(bytes);
    client.revision = this.#revision;
    client.sentMs = now;
  }

  #snapshot(): LiveSnapshot {
    const files = [...this.#files.values()].map((part) => part.value);
    return { files, batch: (this.#batch as Part<BatchView>).value, panels: (this.#panels as Part<Panels>).value };
  }

  #deltaFor({ revision }: Client): LiveDelta {
    const files = [...this.#files.values()].filter((part) => part.revision > revision).map((part) => part.value);
    const removed = [...this.#removed].filter(([, at]) => at > revision).map(([id]) => id);
    const newer = <T>(part: Part<T> | undefined): T | undefined =>
      part !== undefined && part.revision > revision ? part.value : undefined;
    return {
      files: files.length > 0 ? files : undefined,
      removed: removed.length > 0 ? removed : undefined,
      batch: newer(this.#batch),
      panels: newer(this.#panels),
    };
  }

  #forgetRemoved(): void {
    if (this.#removed.size === 0) return;
    let heard = this.#revision;
    for (const { revision } of this.#clients) if (revision >= 0) heard = Math.min(heard, revision);
    for (const [id, at] of this.#removed) if (at <= heard) this.#removed.delete(id);
  }

  #end(client: Client): void {
    this.#leave(client);
    client.controller.close();
  }

  #leave(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

import type { ChunkManager } from '@chunks/manager';
import type { PlayheadRequest } from '../protocol.ts';

const MAX_OWNERS = 1_000;

interface Playhead {
  readonly fileId: string;
  readonly end: AbortController;
  seenMs: number;
}

/** Who is playing what. A page that is closed says nothing, so a playhead that was not reported for a while ends. */
export class Playheads {
  readonly #manager: ChunkManager;
  readonly #idleMs: number;
  readonly #changed: (fileId: string) => void;
  readonly #heads = new Map<string, Playhead>();
  #timer: NodeJS.Timeout | undefined;

  /** @param changed told of each playhead that moved or ended: no event of the manager tells of it. */
  constructor(manager: ChunkManager, idleMs: number, changed: (fileId: string) => void) {
    this.#manager = manager;
    this.#idleMs = idleMs;
    this.#changed = changed;
  }

  report(fileId: string, { owner, byte, bitrateBitsPerSecond }: PlayheadRequest): void {
    const name = `${fileId}/${owner}`;
    let head = this.#heads.get(name);
    if (head === undefined) {
      if (this.#heads.size >= MAX_OWNERS) this.#endOldest();
      head = { fileId, end: new AbortController(), seenMs: 0 };
      this.#heads.set(name, head);
    }
    head.seenMs = Date.now();
    this.#timer ??= setInterval(() => this.#endIdle(), this.#idleMs / 4).unref();
    this.#manager.playhead(fileId, { owner, byte, bitrateBitsPerSecond, signal: head.end.signal });
    this.#changed(fileId);
  }

  /** Before a file is emptied or removed: its windows would fetch it again at once. */
  endAll(fileId?: string): void {
    for (const [name, head] of this.#heads) if (fileId === undefined || head.fileId === fileId) this.#end(name, head);
  }

  #endIdle(): void {
    const before = Date.now() - this.#idleMs;
    for (const [name, head] of this.#heads) if (head.seenMs < before) this.#end(name, head);
  }

  #endOldest(): void {
    let oldest: [string, Playhead] | undefined;
    for (const entry of this.#heads) if (oldest === undefined || entry[1].seenMs < oldest[1].seenMs) oldest = entry;
    if (oldest !== undefined) this.#end(...oldest);
  }

  #end(name: string, head: Playhead): void {
    head.end.abort();
    this.#heads.delete(name);
    this.#changed(head.fileId);
    if (this.#heads.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

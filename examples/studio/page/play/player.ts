import type { FileView, PlayheadRequest } from '../../src/protocol.ts';
import { request } from '../request.ts';
import { awaitedRun, type Jump, type Playing } from './story.ts';

export interface PlayerState extends Playing {
  readonly fileId: string | undefined;
  readonly seconds: number;
  readonly durationSeconds: number;
  /** Undefined until the duration is known. */
  readonly byte: number | undefined;
  /** Since when the picture stands still for lack of bytes, by `performance.now()`. */
  readonly stalledSinceMs?: number | undefined;
  readonly lastJumpMs?: number | undefined;
  readonly problem?: string | undefined;
}

/** A jump that is told of: where it went, and when it landed. */
interface TimedJump extends Jump {
  readonly byte: number;
  readonly sinceMs: number;
}

const REPORT_EVERY_MS = 250;
/** As long as its story stays readable. */
const JUMP_TOLD_MS = 7000;
const LET_GO_MS = 300;
const RETRIES = 3;
const RETRY_AFTER_MS = 1500;

/** One `<video>` over the range cache: tells the server where it plays, and gets up again when the stream breaks. */
export class Player {
  readonly #video: HTMLVideoElement;
  readonly #onChange: () => void;
  readonly #owner = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16)).join('');
  #file: FileView | undefined;
  #started = false;
  #jump: TimedJump | undefined;
  #lastJumpMs: number | undefined;
  #stalledSinceMs: number | undefined;
  #reportedAtMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #wantedSeconds = 0;
  #wantedPlaying = false;

  constructor(video: HTMLVideoElement, onChange: () => void) {
    this.#video = video;
    this.#onChange = onChange;
    this.#listen();
  }

  get state(): PlayerState {
    const video = this.#video;
    return {
      fileId: this.#file?.id,
      started: this.#started,
      playing: !video.paused,
      seconds: video.currentTime,
      durationSeconds: Number.isFinite(video.duration) ? video.duration : 0,
      byte: this.#byteAt(video.currentTime),
      jump: this.#toldJump(),
      lastJumpMs: this.#lastJumpMs,
      stalledSinceMs: this.#stalledSinceMs,
      problem: video.error === null ? undefined : `The stream broke: ${video.error.message || 'no bytes came'}.`,
    };
  }

  /** Loads another file, cold: no byte is asked for but what the browser needs to show its length. */
  show(file: FileView | undefined): void {
    const changed = file?.id !== this.#file?.id;
    this.#file = file;
    if (!changed) {
      this.#noteAwaited();
      return;
    }
    this.#started = false;
    this.#jump = undefined;
    this.#lastJumpMs = undefined;
    this.#stalledSinceMs = undefined;
    this.#failures = 0;
    this.#wantedSeconds = 0;
    this.#wantedPlaying = false;
    if (file === undefined) this.#video.removeAttribute('src');
    else this.#video.src = urlOf(file);
    this.#video.load();
  }

  /** Plays on from a place in the file, as near as its time can be told from its bytes. */
  seekToByte(byte: number): void {
    const { sizeBytes } = this.#file ?? { sizeBytes: 0 };
    const { duration } = this.#video;
    if (sizeBytes === 0 || !Number.isFinite(duration)) return;
    this.#started = true;
    this.#video.currentTime = Math.min(duration - 0.1, (byte / sizeBytes) * duration);
    void this.#video.play().catch(() => {});
  }

  /** Closes the stream. A browser does that in the background: resolves when it has had the time to. */
  async letGo(): Promise<void> {
    this.#video.removeAttribute('src');
    this.#video.load();
    await new Promise((resolve) => setTimeout(resolve, LET_GO_MS));
  }

  /** Lets go of the stream while something is done that would cut it, and takes it up again where it stood. */
  async without(action: () => Promise<void>): Promise<void> {
    const id = this.#file?.id;
    await this.letGo();
    try {
      await action();
    } finally {
      if (this.#file?.id === id) this.#load();
    }
  }

  /** Tries again from where it stood. */
  retry(): void {
    if (this.#video.error !== null) this.#load();
  }

  #load(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#video.src = urlOf(file);
    this.#video.load();
    const seconds = this.#wantedSeconds;
    const resume = this.#wantedPlaying;
    this.#video.addEventListener(
      'loadedmetadata',
      () => {
        if (this.#file?.id !== file.id) return;
        if (seconds > 0) this.#video.currentTime = seconds;
        if (resume) void this.#video.play().catch(() => {});
      },
      { once: true },
    );
  }

  #listen(): void {
    const on = (name: keyof HTMLMediaElementEventMap, run: () => void): void => {
      this.#video.addEventListener(name, () => {
        run();
        this.#onChange();
      });
    };
    on('play', () => {
      this.#started = true;
      this.#wantedPlaying = true;
      this.#report();
    });
    on('pause', () => {
      if (this.#video.error === null) this.#wantedPlaying = false;
      this.#stalledSinceMs = undefined;
    });
    on('timeupdate', () => {
      if (this.#video.error === null && this.#video.readyState > 0) this.#wantedSeconds = this.#video.currentTime;
      if (!this.#video.paused && performance.now() - this.#reportedAtMs >= REPORT_EVERY_MS) this.#report();
    });
    on('seeking', () => {
      const toSeconds = this.#video.currentTime;
      this.#wantedSeconds = toSeconds;
      const byte = this.#byteAt(toSeconds) ?? 0;
      this.#jump = { toSeconds, byte, chunk: undefined, tookMs: undefined, sinceMs: performance.now() };
      this.#noteAwaited();
      this.#report();
    });
    on('seeked', () => {
      if (this.#jump === undefined) return;
      this.#lastJumpMs = performance.now() - this.#jump.sinceMs;
      this.#jump = { ...this.#jump, tookMs: this.#lastJumpMs };
    });
    on('waiting', () => {
      this.#stalledSinceMs ??= performance.now();
    });
    on('playing', () => {
      this.#stalledSinceMs = undefined;
      this.#failures = 0;
    });
    on('error', () => {
      this.#stalledSinceMs = undefined;
      this.#failures += 1;
      if (this.#failures <= RETRIES) setTimeout(() => this.retry(), RETRY_AFTER_MS);
    });
    on('loadedmetadata', () => {});
  }

  /** Only what is awaited while the picture stands still made anybody wait. */
  #noteAwaited(): void {
    const jump = this.#jump;
    if (jump === undefined || jump.tookMs !== undefined) return;
    const run = awaitedRun(this.#file?.cacheRuns ?? [], jump.byte);
    if (run !== undefined) this.#jump = { ...jump, chunk: { startByte: run.startByte, endByte: run.endByte } };
  }

  #toldJump(): Jump | undefined {
    const jump = this.#jump;
    if (jump?.tookMs === undefined) return jump;
    return performance.now() - jump.sinceMs - jump.tookMs < JUMP_TOLD_MS ? jump : undefined;
  }

  #byteAt(seconds: number): number | undefined {
    const { duration } = this.#video;
    const { sizeBytes } = this.#file ?? { sizeBytes: 0 };
    if (!Number.isFinite(duration) || duration === 0 || sizeBytes === 0) return undefined;
    return Math.min(sizeBytes - 1, Math.floor((seconds / duration) * sizeBytes));
  }

  #report(): void {
    const file = this.#file;
    const byte = this.#byteAt(this.#video.currentTime);
    if (file === undefined || byte === undefined) return;
    this.#reportedAtMs = performance.now();
    const bitrateBitsPerSecond = Math.round((file.sizeBytes * 8) / this.#video.duration);
    const place: PlayheadRequest = { owner: this.#owner, byte, bitrateBitsPerSecond };
    const body = JSON.stringify(place);
    const headers = { 'Content-Type': 'application/json' };
    // A report that is lost is replaced by the next one within a quarter of a second.
    request(`/play/${encodeURIComponent(file.id)}/playhead`, { method: 'POST', headers, body }).catch(() => {});
  }
}

function urlOf(file: FileView): string {
  return `/play/${encodeURIComponent(file.id)}`;
}

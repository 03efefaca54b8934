import type { Clock } from '@chunks/base';
import type { NatsKvEntry } from './lease-entry.ts';

/** What is asked of the bucket to learn the time. */
export interface ProbedKv {
  put(key: string, value: Uint8Array): Promise<number>;
  get(key: string): Promise<NatsKvEntry | null>;
}

// Outside of what is watched for leases.
const PROBE = 'lease-clock';
/** Our own clock is not believed for longer; it may be set, or run at another speed. */
const GUESS_MS = 60_000;
const NOTHING: Uint8Array = new Uint8Array(0);

/** The clock of the server, which nobody tells: it is read off the time stamp of a record that was just written. */
export class ServerClock {
  readonly #kv: ProbedKv;
  readonly #clock: Clock;
  #last: { readonly serverMs: number; readonly localMs: number } | undefined;
  #reading: Promise<number> | undefined;

  constructor(kv: ProbedKv, clock: Clock) {
    this.#kv = kv;
    this.#clock = clock;
  }

  /** Now or soon, without a question to the server: good for telling how long to wait, not for ending anybody's lease. */
  guess(): number | undefined {
    if (this.#last === undefined) return undefined;
    const sinceMs = this.#clock.now() - this.#last.localMs;
    return sinceMs >= 0 && sinceMs <= GUESS_MS ? this.#last.serverMs + sinceMs : undefined;
  }

  /** A moment that is past at the server, and was not long ago. Never one that is still to come. */
  read(): Promise<number> {
    // Whose probe it is makes no difference: a time stamp of any record is past.
    this.#reading ??= this.#probe().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #probe(): Promise<number> {
    // From before it was sent: a guess is then early by the time that it was under way, and never late.
    const localMs = this.#clock.now();
    await this.#kv.put(PROBE, NOTHING);
    const entry = await this.#kv.get(PROBE);
    if (entry === null) throw new Error('the bucket does not have what was just written to it');
    const serverMs = entry.created.getTime();
    this.#last = { serverMs, localMs };
    return serverMs;
  }
}

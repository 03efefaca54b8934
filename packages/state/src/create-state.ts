import {
  checkFunction,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkText,
  exponentialBackoff,
  onAbort,
  refuseRange,
  refuseType,
  systemClock,
} from '@chunks/base';
import { codecOf } from './codec.ts';
import { bytesOf, versionOf } from './envelope.ts';
import {
  isStateError,
  PendingFullError,
  StateClosedError,
  StoreUnavailableError,
  UpdateAmbiguousError,
} from './errors.ts';
import { Counters, Lane, type LaneSettings } from './lane.ts';
import { Member, type Outcome, type Request } from './member.ts';
import { StoreCalls } from './store-calls.ts';
import type { State, StateOptions, StateStats, Updated, UpdateOptions, Updater, Versioned } from './types.ts';

type KeyedOptions = UpdateOptions & { idempotencyKey?: string | undefined };

const MAX_ATTEMPTS = 20;
const TIMEOUT_MS = 30_000;

/**
 * Versioned records over a store that has a compare-and-set. Cheap to make; nothing is asked of the store before the
 * first call.
 *
 * @throws TypeError | RangeError naming the option, the rule and the value
 * @example
 * const state = createState({ store: memoryStore(), initial: () => ({ done: [] as string[] }) });
 * const { version } = await state.update('batch-7', (draft) => void draft.done.push('video-1'));
 */
export function createState<T extends object>(
  options: Omit<StateOptions<T>, 'initial'> & { initial: () => T },
): State<T> {
  return new Records<T>(options);
}

class Records<T extends object> implements State<T> {
  readonly #settings: LaneSettings;
  readonly #maxPending: number;
  readonly #maxKeyBytes: number;
  readonly #close: () => Promise<void> | undefined;
  readonly #lanes: Map<string, Lane> = new Map();
  readonly #running: Set<Promise<void>> = new Set();
  #arrivals = 0;
  #pending = 0;
  #closed: Promise<void> | undefined;
  #writer = '';
  #writes = 0;

  constructor(options: StateOptions<T>) {
    const { store, initial, codec, retry = {}, coalesce = {}, remember = {} } = options;
    if (typeof store?.read !== 'function' || typeof store.write !== 'function')
      refuseType('store', 'a VersionedStore', store);
    checkFunction('initial', initial);
    if (codec !== undefined) {
      checkFunction('codec.encode', codec.encode);
      checkFunction('codec.decode', codec.decode);
    }
    const clock = options.clock ?? systemClock;
    const baseMs = checkNumber('retry.baseMs', retry.baseMs ?? 2, 0.001);
    const maxMs = checkNumber('retry.maxMs', retry.maxMs ?? 200, baseMs);
    const jitter = checkOneOf('retry.jitter', retry.jitter ?? 'full', ['full', 'decorrelated', 'none']);
    const attemptTimeoutMs = checkNumber('attemptTimeoutMs', options.attemptTimeoutMs ?? 5_000, 1);
    const batching = coalesce === false ? { maxBatch: 1 } : coalesce;
    this.#maxPending = checkInteger('coalesce.maxPending', batching.maxPending ?? 100_000, 1);
    this.#maxKeyBytes = store.capabilities.maxKeyBytes ?? Number.POSITIVE_INFINITY;
    this.#close = () => store.close?.();
    this.#settings = {
      calls: new StoreCalls({ store, clock, attemptTimeoutMs }),
      fold: {
        codec: codecOf(codec) as unknown as LaneSettings['fold']['codec'],
        initial,
        remember: {
          commits: checkInteger('remember.commits', remember.commits ?? 64, 1),
          keys: checkInteger('remember.keys', remember.keys ?? 256, 1),
          maxBytes: checkInteger('remember.maxBytes', remember.maxBytes ?? 16_384, 64),
        },
        maxValueBytes: store.capabilities.maxValueBytes ?? Number.POSITIVE_INFINITY,
      },
      clock,
      random: options.random ?? Math.random,
      backoff: exponentialBackoff({ baseMs, maxMs, jitter }),
      baseMs,
      spreadMs: checkNumber('retry.spreadMs', retry.spreadMs ?? 0, 0),
      maxBatch: checkInteger('coalesce.maxBatch', batching.maxBatch ?? 1_000, 1),
      newWriteId: () => this.#newWriteId(),
      arrivals: () => this.#arrivals,
      stats: new Counters(),
    };
  }

  async get(key: string, o: { signal?: AbortSignal | undefined } = {}): Promise<Versioned<T> | undefined> {
    this.#check(key, o.signal);
    const reading = this.#read(key, o.signal);
    return this.#track(
      new Promise((resolve, reject) => {
        const off = onAbort(o.signal, () => reject(o.signal?.reason));
        reading.then(resolve, reject).finally(off);
      }),
    );
  }

  async #read(key: string, signal: AbortSignal | undefined): Promise<Versioned<T> | undefined> {
    const { calls, clock, backoff, random, fold } = this.#settings;
    const startedMs = clock.now();
    for (let attempts = 1; ; attempts++) {
      try {
        const base = await calls.read(key, this.#arrivals);
        if (base.json === undefined) return undefined;
        return { state: fold.codec.decode(key, base.json) as T, version: versionOf(base) };
      } catch (cause) {
        if (isStateError(cause)) throw cause;
        const late = clock.now() - startedMs >= TIMEOUT_MS;
        if (late || attempts === MAX_ATTEMPTS) throw new StoreUnavailableError({ key, attempts, cause });
        await clock.sleep(backoff.delayMs(attempts, random), signal);
      }
    }
  }

  // The overloads of the interface come to this: with a key the result may be a replay.
  update<R>(key: string, updater: Updater<T, R>, o: KeyedOptions = {}): Promise<Updated<T, R> & never> {
    return this.#enter(key, updater, o) as Promise<never>;
  }

  async delete(key: string, o: Pick<UpdateOptions, 'ifVersion' | 'signal'> = {}): Promise<boolean> {
    const { result } = (await this.#enter(key, undefined, o, true)) as { result: boolean };
    return result;
  }

  stats(): StateStats {
    return { ...this.#settings.stats };
  }

  close(): Promise<void> {
    this.#closed ??= Promise.allSettled(this.#running).then(() => this.#close());
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // Not an async function: an update called right after another one settled must find that one's record still at hand.
  #enter(key: string, updater: unknown, o: KeyedOptions, deletes = false): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { clock, stats } = this.#settings;
      if (!deletes) checkFunction('updater', updater);
      const request = requestOf(key, updater, o);
      this.#check(key, o.signal);
      if (this.#pending >= this.#maxPending) throw new PendingFullError({ key, limit: this.#maxPending });
      const startedMs = clock.now();
      this.#pending++;
      stats.updates++;
      const lane = this.#lane(key);
      const done = (how: Outcome): void => {
        lane.queue.remove(member);
        this.#pending--;
        stats.latency.record(clock.now() - startedMs);
        if ('value' in how) resolve(how.value);
        else {
          stats.rejected++;
          if (how.error instanceof UpdateAmbiguousError) stats.ambiguous++;
          reject(how.error);
        }
      };
      const member = new Member({ request, arrival: ++this.#arrivals, clock, done });
      lane.queue.push(member);
    });
  }

  #lane(key: string): Lane {
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    const lane = new Lane(key, this.#settings, () => this.#lanes.delete(key));
    this.#lanes.set(key, lane);
    void this.#track(lane.run());
    return lane;
  }

  #track<R>(running: Promise<R>): Promise<R> {
    const settled = running
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => void this.#running.delete(settled));
    this.#running.add(settled);
    return running;
  }

  #check(key: string, signal: AbortSignal | undefined): void {
    if (typeof key !== 'string') refuseType('key', 'a string', key);
    const isShort = this.#maxKeyBytes === Number.POSITIVE_INFINITY || bytesOf(key) <= this.#maxKeyBytes;
    if (!isShort) refuseRange('key', `at most ${this.#maxKeyBytes} bytes on this store`, key);
    if (this.#closed !== undefined) throw new StateClosedError({ key });
    signal?.throwIfAborted();
  }

  #newWriteId(): string {
    // On first use, because Workers give no random numbers before the first request.
    this.#writer ||= [...crypto.getRandomValues(new Uint32Array(3))].map((part) => part.toString(36)).join('');
    return `${this.#writer}.${++this.#writes}`;
  }
}

function requestOf(key: string, updater: unknown, o: KeyedOptions): Request {
  if (o.ifVersion !== undefined) checkInteger('ifVersion', o.ifVersion, 0);
  if (o.idempotencyKey !== undefined) checkText('idempotencyKey', o.idempotencyKey);
  return {
    key,
    updater: updater as Request['updater'],
    maxAttempts: checkInteger('maxAttempts', o.maxAttempts ?? MAX_ATTEMPTS, 1),
    timeoutMs: checkNumber('timeoutMs', o.timeoutMs ?? TIMEOUT_MS, 0),
    signal: o.signal,
    ifVersion: o.ifVersion,
    skipIfUnchanged: o.skipIfUnchanged ?? true,
    idempotencyKey: o.idempotencyKey,
  };
}

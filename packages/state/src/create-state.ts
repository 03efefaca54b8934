import { checkFunction, checkInteger, checkNumber, checkText, refuseRange, refuseType } from '@chunks/base';
import { type Base, bytesOf, mayExceed, versionOf } from './envelope.ts';
import { PendingFullError, StateClosedError, UpdateAmbiguousError } from './errors.ts';
import { list, purge } from './keys.ts';
import { Lane, type LaneSettings } from './lane.ts';
import { Member, type Outcome, type Request } from './member.ts';
import { MAX_ATTEMPTS, persist, TIMEOUT_MS, untilAbort } from './reading.ts';
import type { StandardSchema } from './schema.ts';
import { type Options, type Settings, settingsOf } from './settings.ts';
import type { State, StateOptions, StateStats, Updated, UpdateOptions, Updater, Versioned } from './types.ts';
import { watch } from './watch.ts';

type KeyedOptions = UpdateOptions & { idempotencyKey?: string | undefined };
type Leave = { signal?: AbortSignal | undefined };

/**
 * Versioned records over a store that has a compare-and-set. Cheap to make; nothing is asked of the store before the
 * first call.
 *
 * With a `schema` the state's type is the schema's. It is asked after each load and after each updater, and what it
 * gives is the state: what is stored and fails is INVALID_STATE and left untouched, an updater whose result fails is
 * rejected alone. It costs a pass of schema and codec for each update, also within one commit.
 *
 * @throws TypeError | RangeError naming the option, the rule and the value
 * @example
 * const state = createState({ store: memoryStore(), initial: () => ({ done: [] as string[] }) });
 * const { version } = await state.update('batch-7', (draft) => void draft.done.push('video-1'));
 */
export function createState<T extends object>(options: StateOptions<T> & { schema: StandardSchema<T> }): State<T>;
export function createState<T extends object>(
  options: Omit<StateOptions<T>, 'initial'> & { initial: () => T },
): State<T>;
export function createState<T extends object>(options: Options<T>): State<T> {
  return new Records<T>(options);
}

class Records<T extends object> implements State<T> {
  readonly #settings: Settings & LaneSettings;
  readonly #close: () => Promise<void> | undefined;
  readonly #lanes: Map<string, Lane> = new Map();
  readonly #running: Set<Promise<unknown>> = new Set();
  readonly #closing: AbortController = new AbortController();
  #arrivals = 0;
  #pending = 0;
  #closed: Promise<void> | undefined;
  #writer = '';
  #writes = 0;

  constructor(options: Options<T>) {
    this.#settings = {
      ...settingsOf(options),
      newWriteId: () => this.#newWriteId(),
      arrivals: () => this.#arrivals,
    };
    this.#close = () => options.store.close?.();
  }

  async get(key: string, { signal }: Leave = {}): Promise<Versioned<T> | undefined> {
    this.#check('key', key, signal);
    const found = this.#read(key, signal).then(async (base) => {
      const version = versionOf(base);
      return version === 0 ? undefined : { state: await this.#open(key, base), version };
    });
    return this.#track(untilAbort(signal, found));
  }

  #read(key: string, signal: AbortSignal | undefined): Promise<Base> {
    const { calls } = this.#settings;
    const ask = (): Promise<Base> => calls.read(key, this.#arrivals);
    return persist({ key, waits: this.#settings, signal, ask });
  }

  async #open(key: string, base: Base): Promise<T> {
    const { form } = this.#settings.fold;
    const { json, state } = await form.open(key, base);
    return (state ?? form.decode(key, json)) as T;
  }

  // The overloads of the interface come to this: with a key the result may be a replay.
  update<R>(key: string, updater: Updater<T, R>, o: KeyedOptions = {}): Promise<Updated<T, R> & never> {
    return this.#enter(key, updater, o) as Promise<never>;
  }

  async delete(key: string, o: Pick<UpdateOptions, 'ifVersion' | 'signal'> = {}): Promise<boolean> {
    const { result } = (await this.#enter(key, undefined, o, true)) as { result: boolean };
    return result;
  }

  async *list(prefix: string, { signal }: Leave = {}): AsyncGenerator<string> {
    this.#check('prefix', prefix, signal);
    const { calls } = this.#settings;
    calls.demand(prefix, 'list');
    yield* list({ calls, waits: this.#settings, prefix, signals: [signal, this.#closing.signal] });
  }

  watch(key: string, { signal }: Leave = {}): AsyncIterable<Versioned<T> | undefined> {
    return { [Symbol.asyncIterator]: () => this.#watch(key, signal) };
  }

  async purge(prefix: string, { olderThanMs, signal }: Leave & { olderThanMs: number }): Promise<number> {
    checkNumber('olderThanMs', olderThanMs, 0);
    this.#check('prefix', prefix, signal);
    const { calls, clock } = this.#settings;
    calls.demand(prefix, 'list', 'remove');
    const beforeMs = clock.now() - olderThanMs;
    return this.#track(purge({ calls, waits: this.#settings, prefix, signals: [signal], beforeMs }));
  }

  stats(): StateStats {
    return { ...this.#settings.stats };
  }

  close(): Promise<void> {
    this.#closed ??= Promise.allSettled(this.#running).then(() => this.#close());
    this.#closing.abort(new StateClosedError({ key: '' }));
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // Not an async function: an update called right after another one settled must find that one's record still at hand.
  #enter(key: string, updater: unknown, o: KeyedOptions, deletes = false): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { clock, stats, maxPending } = this.#settings;
      if (!deletes) checkFunction('updater', updater);
      const request = requestOf(key, updater, o);
      this.#check('key', key, o.signal);
      if (this.#pending >= maxPending) throw new PendingFullError({ key, limit: maxPending });
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
    const end = (): void => void this.#running.delete(running);
    this.#running.add(running);
    running.then(end, end);
    return running;
  }

  #watch(key: string, signal: AbortSignal | undefined): AsyncIterator<Versioned<T> | undefined> {
    return watch<T>({
      calls: this.#settings.calls,
      waits: this.#settings,
      key,
      signal,
      closing: this.#closing.signal,
      begin: () => {
        this.#check('key', key, signal);
        this.#settings.calls.demand(key, 'watch');
      },
      read: (stopped) => this.#track(this.#read(key, stopped)),
      open: (base) => this.#open(key, base),
    });
  }

  #check(what: 'key' | 'prefix', key: string, signal: AbortSignal | undefined): void {
    if (typeof key !== 'string') refuseType(what, 'a string', key);
    const { maxKeyBytes: limit } = this.#settings;
    if (mayExceed(key.length, limit) && bytesOf(key) > limit)
      refuseRange(what, `at most ${limit} bytes on this store`, key);
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

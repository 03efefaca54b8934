/// <reference lib="esnext.disposable" preserve="true" />
/**
 * `navigator.locks` where there is none: the W3C Web Locks, for the tasks of one process.
 * @module
 */
import type { LockMode } from '../types.ts';
import { LockQueue, LockRequest } from './web-locks/lock-queue.ts';
import type {
  LockGrantedCallback,
  LockInfo,
  LockManager,
  LockManagerSnapshot,
  WebLock,
  WebLockOptions,
} from './web-locks/types.ts';

export type { LockMode } from '../types.ts';
export type * from './web-locks/types.ts';

interface Terms {
  readonly name: string;
  readonly mode: LockMode;
  readonly ifAvailable: boolean;
  readonly steal: boolean;
  readonly signal: AbortSignal | undefined;
  readonly callback: LockGrantedCallback<unknown>;
}

// In the words of the browsers, which programs and their tests look for.
const FAILED = "Failed to execute 'request' on 'LockManager': ";

function refuse(rule: string): never {
  throw new TypeError(FAILED + rule);
}

function refuseMix(rule: string): never {
  throw new DOMException(FAILED + rule, 'NotSupportedError');
}

function modeOf(value: unknown): LockMode {
  if (value === undefined) return 'exclusive';
  const mode = `${value}`;
  if (mode === 'exclusive' || mode === 'shared') return mode;
  return refuse(`The provided value '${mode}' is not a valid enum value of type LockMode.`);
}

function signalOf(value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined;
  // Not `instanceof`: a signal may be another realm's.
  if (typeof value === 'object' && value !== null && 'aborted' in value) return value as AbortSignal;
  return refuse('member signal is not of type AbortSignal.');
}

/** What the arguments say, read in the order in which Node reads them. */
function read(args: readonly unknown[]): Terms {
  if (args.length < 2) refuse(`2 arguments required, but only ${args.length} present.`);
  const [options, callback] = args[2] === undefined ? [undefined, args[1]] : [args[1], args[2]];
  const name = `${args[0]}`;
  if (typeof callback !== 'function') refuse(`parameter ${args.length === 2 ? 2 : 3} is not of type 'Function'.`);
  if (options !== undefined && typeof options !== 'object' && typeof options !== 'function') {
    refuse('The provided value is not of type LockOptions.');
  }
  const given = (typeof options === 'object' && options) || {};
  const { ifAvailable, mode, signal, steal } = given as { [member in keyof WebLockOptions]: unknown };
  return {
    name,
    mode: modeOf(mode),
    ifAvailable: Boolean(ifAvailable),
    steal: Boolean(steal),
    signal: signalOf(signal),
    callback: callback as LockGrantedCallback<unknown>,
  };
}

function check({ name, mode, ifAvailable, steal, signal }: Terms): void {
  signal?.throwIfAborted();
  if (name.startsWith('-')) refuseMix("Names cannot start with '-'.");
  if (steal && ifAvailable) refuseMix("The 'steal' and 'ifAvailable' options cannot be used together.");
  if (steal && mode !== 'exclusive') refuseMix("The 'steal' option may only be used with 'exclusive' locks.");
  if (signal === undefined || !(steal || ifAvailable)) return;
  refuseMix(`The 'signal' and '${steal ? 'steal' : 'ifAvailable'}' options cannot be used together.`);
}

class Lock implements WebLock {
  readonly #name: string;
  readonly #mode: LockMode;

  constructor(name: string, mode: LockMode) {
    this.#name = name;
    this.#mode = mode;
  }

  get name(): string {
    return this.#name;
  }

  get mode(): LockMode {
    return this.#mode;
  }

  get [Symbol.toStringTag](): string {
    return 'Lock';
  }
}

let managers = 0;

class WebLocks implements LockManager {
  readonly #queue = new LockQueue();
  readonly #clientId = `chunks-${++managers}`;

  get [Symbol.toStringTag](): string {
    return 'LockManager';
  }

  request<T>(name: string, callback: LockGrantedCallback<T>): Promise<Awaited<T>>;
  request<T>(name: string, options: WebLockOptions, callback: LockGrantedCallback<T>): Promise<Awaited<T>>;
  async request(...args: readonly unknown[]): Promise<unknown> {
    const terms = read(args);
    check(terms);
    if (terms.signal !== undefined) return this.#requestUntil(terms.signal, terms);
    const { name, mode, callback } = terms;
    const haste = terms.steal ? 'steal' : terms.ifAvailable ? 'ifAvailable' : undefined;
    const request = new LockRequest(name, mode, haste, (granted) => callback(granted ? new Lock(name, mode) : null));
    this.#queue.add(request);
    return await request.released.promise;
  }

  async query(): Promise<LockManagerSnapshot> {
    const { held, pending } = this.#queue.snapshot();
    const info = ({ name, mode }: LockRequest): LockInfo => ({ name, mode, clientId: this.#clientId });
    // As a promise, since Node answers with one: two ticks later than a bare value would come.
    return Promise.resolve({ held: held.map(info), pending: pending.map(info) });
  }

  #requestUntil(signal: AbortSignal, { name, mode, callback }: Terms): Promise<unknown> {
    return new Promise((resolve, reject) => {
      // A tick later than without a signal: so an abort in the very tick of the request still ends it.
      const enter = (): Promise<unknown> =>
        Promise.resolve().then(() => {
          if (signal.aborted) return undefined;
          signal.removeEventListener('abort', onAbort);
          return callback(new Lock(name, mode));
        });
      const request = new LockRequest(name, mode, undefined, enter);
      const onAbort = (): void => {
        reject(signal.reason || new DOMException('The request was aborted.', 'AbortError'));
        this.#queue.withdraw(request);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#queue.add(request);
      request.released.promise.then(resolve, reject);
    });
  }
}

/**
 * A lock manager with the shape and semantics of `navigator.locks`, for runtimes without one and for tests. Its names
 * are its own: another manager, worker, tab or process knows nothing of them, and there is no lease, token or timeout;
 * `KeyedMutex` has these.
 *
 * Fairness: first come, first served on each name; shared requests enter together, never past a waiting exclusive one;
 * only `steal` passes others. Cancel: an aborted request leaves the queue at once, in O(1).
 *
 * Grants come in the order and in the very ticks of Node 24's `navigator.locks`, also where that is more than the
 * standard says: a callback without a signal runs inside `request` when the name is free, or else in the tick in which
 * the section before it ends; a signal's abort is looked at before the names and options are; any object with `aborted`
 * is a signal; a falsy reason becomes an AbortError; `pending` is in the order of arrival over all names. In these it
 * is not Node but the standard that is followed:
 * - An aborted request leaves the queue. In Node it keeps its place, shows in `query()` and blocks who comes behind.
 * - A callback that throws gives the lock back. In Node it stays held for ever, unless there is a signal.
 * - A result with a `then` that is no native promise keeps the lock until it settles. In Node it does so with a signal only.
 * - Any number of callbacks that return at once can follow one another. In Node's recursion a few thousand are lost.
 * - `query()` gives `held` in the order of the grants; in Node it is so for one name, and by hash over several.
 * - `request` needs its `this`, as in browsers.
 * @example
 * const locks = globalThis.navigator?.locks ?? createLockManager();
 * await locks.request('video-7', { mode: 'shared' }, async (lock) => {
 *   await read(lock.name);
 * });
 */
export function createLockManager(): LockManager {
  return new WebLocks();
}

/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The locker that a tus server takes, over any locker of this package.
 * @module
 */
import { checkFunction, checkNumber, onAbort } from '@chunks/base';
import { isLockError, LockLostError } from '../errors.ts';
import type { AcquireOptions, Lock, Locker } from '../types.ts';

/** The `Locker` of `@tus/server` 2, by shape. */
export interface TusLocker {
  newLock(id: string): TusLock;
}

/** The `Lock` of `@tus/server` 2, by shape. */
export interface TusLock {
  /**
   * @param signal ends the wait
   * @param requestRelease asks the request that holds the lock to come to an end; called once at most
   */
  lock(signal: AbortSignal, requestRelease: () => Promise<void> | void): Promise<void>;
  unlock(): Promise<void>;
}

/** Options of {@link tusLocker}. */
export interface TusLockerOptions {
  /** How long a request waits for another one to let go, in ms. Longer than the server's `lockDrainTimeout` (3 s). @default 30_000 */
  timeoutMs?: number | undefined;
  /** The lease in ms. @default the locker's */
  leaseMs?: number | undefined;
  /** A request that holds the lock for longer than this loses it. @default Infinity: a PATCH lasts as long as its body is sent */
  maxHoldMs?: number | undefined;
}

/**
 * Makes requests for one upload take turns. A request that finds another one at work asks it to end (the server then
 * stops reading its body, after `lockDrainTimeout`) and waits: a client that resumes is not kept waiting by its own
 * stalled request. A request that comes in while others wait is asked at once.
 *
 * Fairness: first come, first served. Cancel: a request that is gone leaves the queue at once.
 *
 * Over a `leaseLocker` the turns are those of all processes, but a request can be asked to end only by one of the same
 * process: another process waits until the request ends, is cut off by its server's `requestTimeout`, or has been at it
 * for `maxHoldMs`. Of a process that has died the lock is free after one lease.
 *
 * A request whose lock is lost is asked to end, too. It may have written on meanwhile, so it is not told to have
 * succeeded: `unlock` rejects, and its client asks for the offset and goes on from there.
 *
 * All errors of locks are answered by 423, which tells a client to try again later. By a 500, as it is the server's own
 * locker's answer, tus-js-client gives an upload up that it was to resume, and begins it anew.
 *
 * It needs no import of `@tus/server`. All of these over one locker know of each other's requests.
 * @throws TypeError | RangeError naming option, rule and value.
 * @example
 * const server = new Server({ path: '/files', datastore, locker: tusLocker(new KeyedMutex()) });
 */
export function tusLocker(locker: Locker, options: TusLockerOptions = {}): TusLocker {
  checkFunction('locker.acquire', locker?.acquire);
  const { timeoutMs = 30_000, leaseMs, maxHoldMs = Number.POSITIVE_INFINITY } = options;
  checkNumber('timeoutMs', timeoutMs, 0);
  checkNumber('maxHoldMs', maxHoldMs, 1);
  if (leaseMs !== undefined) checkNumber('leaseMs', leaseMs, 1);
  const terms = { timeoutMs, leaseMs, maxHoldMs };
  const uploads = uploadsOf.get(locker) ?? new Map<string, Upload>();
  uploadsOf.set(locker, uploads);
  return { newLock: (id) => new UploadLock(locker, terms, uploads, id) };
}

/** Who is at work on one upload, and how many others would like to be. */
interface Upload {
  holder: Holder | undefined;
  waiting: number;
}

// Servers may make a locker for each request.
const uploadsOf = new WeakMap<Locker, Map<string, Upload>>();

/** A request that has the lock. */
class Holder {
  readonly lock: Lock;
  readonly stopListening: () => void;
  #requestRelease: (() => Promise<void> | void) | undefined;

  constructor(lock: Lock, requestRelease: () => Promise<void> | void) {
    this.lock = lock;
    this.#requestRelease = requestRelease;
    this.stopListening = onAbort(lock.signal, () => this.ask());
  }

  ask(): void {
    const request = this.#requestRelease;
    this.#requestRelease = undefined;
    // Its failure is no business of who asks: it surfaces as an unhandled one.
    if (request !== undefined) void new Promise<void>((done) => done(request()));
  }
}

class UploadLock implements TusLock {
  readonly #locker: Locker;
  readonly #terms: AcquireOptions;
  readonly #uploads: Map<string, Upload>;
  readonly #id: string;
  #holder: Holder | undefined;

  constructor(locker: Locker, terms: AcquireOptions, uploads: Map<string, Upload>, id: string) {
    this.#locker = locker;
    this.#terms = terms;
    this.#uploads = uploads;
    this.#id = id;
  }

  async lock(signal: AbortSignal, requestRelease: () => Promise<void> | void): Promise<void> {
    const upload = this.#uploads.get(this.#id) ?? { holder: undefined, waiting: 0 };
    this.#uploads.set(this.#id, upload);
    upload.waiting++;
    upload.holder?.ask();
    try {
      const lock = await this.#locker.acquire(this.#id, { ...this.#terms, signal });
      upload.holder = this.#holder = new Holder(lock, requestRelease);
    } catch (error) {
      throw answered(error);
    } finally {
      upload.waiting--;
      this.#forgetIfIdle(upload);
    }
    if (upload.waiting > 0) upload.holder.ask();
  }

  async unlock(): Promise<void> {
    const holder = this.#holder;
    this.#holder = undefined;
    holder?.stopListening();
    const upload = this.#uploads.get(this.#id);
    // When the lock was lost, it may be another's already.
    if (upload !== undefined && upload.holder === holder) upload.holder = undefined;
    if (upload !== undefined) this.#forgetIfIdle(upload);
    if (!(await released(holder?.lock))) throw answered(new LockLostError(this.#id));
  }

  #forgetIfIdle(upload: Upload): void {
    if (upload.holder === undefined && upload.waiting === 0) this.#uploads.delete(this.#id);
  }
}

/** A store out of reach takes nothing from what was written under the lock; its lease ends by itself. */
async function released(lock: Lock | undefined): Promise<boolean> {
  try {
    return (await lock?.release()) ?? false;
  } catch {
    return true;
  }
}

// The server reads its answer from the error. Who holds the lock, or which store is out of reach, is not for clients.
const LOCKED = { status_code: 423, body: 'The upload could not be locked: try again later\n' };

const answered = (error: unknown): unknown => (isLockError(error) ? Object.assign(error, LOCKED) : error);

import { type Clock, type Linked, onAbort } from '@chunks/base';
import { UpdateAmbiguousError, UpdateTimeoutError } from './errors.ts';
import { LazyAbort } from './lazy-abort.ts';
import type { UpdateContext } from './types.ts';

/** What a caller asked for, defaults filled in. */
export interface Request {
  readonly key: string;
  /** undefined: delete. */
  readonly updater: ((draft: object, context: UpdateContext<object>) => unknown) | undefined;
  readonly maxAttempts: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly ifVersion: number | undefined;
  readonly skipIfUnchanged: boolean;
  readonly idempotencyKey: string | undefined;
}

/** How a call ends. */
export type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** One call of `update` or `delete` from its arrival to its outcome, which it reaches once. */
export class Member implements Linked<Member> {
  previous: Member | undefined = undefined;
  next: Member | undefined = undefined;
  readonly request: Request;
  /** Its number in the order of arrival. */
  readonly arrival: number;
  /** How often it was tried, the present attempt included. Taken again for another one's sake, it is the same attempt. */
  attempts = 0;
  settled = false;
  /** The last failure on its way, for whoever gives up. */
  trouble: unknown;
  readonly #done: (how: Outcome) => void;
  readonly #letGo: (() => void)[] = [];
  /** The version on which it was sent; undefined while nothing of it is under way. */
  #sentOn: number | undefined;
  #aborted = false;
  #failed = true;
  readonly #gone: LazyAbort = new LazyAbort();
  #left: (() => void) | undefined;

  constructor(o: { request: Request; arrival: number; clock: Clock; done: (how: Outcome) => void }) {
    const { signal, timeoutMs } = o.request;
    this.request = o.request;
    this.arrival = o.arrival;
    this.#done = o.done;
    this.#letGo.push(o.clock.after(timeoutMs, () => this.#outOfTime()));
    this.#letGo.push(
      onAbort(signal, () => {
        this.#aborted = true;
        if (this.#sentOn === undefined) this.#leave(signal?.reason);
      }),
    );
  }

  /** For the updater: aborts when the call leaves. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** It is tried: once more only if the last attempt failed. */
  begin(): void {
    if (this.#failed) this.attempts++;
    this.#failed = false;
  }

  /** The attempt came to nothing. @returns whether there is one left */
  fail(trouble?: unknown): boolean {
    this.trouble = trouble ?? this.trouble;
    this.#failed = true;
    return this.attempts < this.request.maxAttempts;
  }

  resolve(value: unknown): void {
    this.#settle({ value });
  }

  reject(error: unknown): void {
    this.#settle({ error });
  }

  /** From here on it can no longer leave as if nothing had happened. */
  send(onVersion: number): void {
    this.#sentOn = onVersion;
  }

  /** What was sent is known not to have been applied. */
  unsend(): void {
    this.#sentOn = undefined;
    if (this.#aborted) this.#leave(this.request.signal?.reason);
  }

  /** What was sent may have been applied or not, and nobody will find out. */
  lose(): void {
    const { key } = this.request;
    const lastVersion = this.#sentOn ?? 0;
    this.reject(new UpdateAmbiguousError({ key, attempts: this.attempts, lastVersion, cause: this.trouble }));
  }

  /** The promise's value, or undefined as soon as the call leaves. */
  whileHere(promise: PromiseLike<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#left = () => resolve(undefined);
      // It may have left in the middle of the call that made the promise.
      if (this.settled) this.#left();
      promise.then(resolve, reject);
    });
  }

  #outOfTime(): void {
    const { key, timeoutMs } = this.request;
    if (this.#sentOn !== undefined) this.lose();
    else this.#leave(new UpdateTimeoutError({ key, timeoutMs, attempts: this.attempts, cause: this.trouble }));
  }

  #leave(reason: unknown): void {
    this.reject(reason);
    this.#gone.abort(reason);
    this.#left?.();
  }

  #settle(how: Outcome): void {
    if (this.settled) return;
    this.settled = true;
    for (const letGo of this.#letGo) letGo();
    this.#done(how);
  }
}

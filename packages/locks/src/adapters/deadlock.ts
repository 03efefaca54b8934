/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Refuses the wait that would close a circle of waits, and says who holds and wants what.
 * @module
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { DeadlockClaim, DeadlockDetector, DeadlockHolder, DeadlockWait } from '../deadlock-detector.ts';
import { DeadlockError } from '../errors.ts';

/** Made by {@link deadlockDetector}. */
export interface AsyncDeadlockDetector extends DeadlockDetector {
  /**
   * Runs the work as one line of work, to which also those locks belong that it acquires itself and is handed:
   * `acquire`, `acquireAll`, `tryAcquire`. It promises to do one thing after the other: to await what it asks for before
   * it releases what it holds, and to release all of that itself. What it does side by side gets scopes of its own.
   * @throws whatever the work throws.
   * @example
   * await deadlocks.scope(async () => {
   *   using from = await locks.acquire('account-1');
   *   using to = await locks.acquire('account-2');
   *   await transfer();
   * });
   */
  scope<T>(work: () => T | PromiseLike<T>): Promise<T>;
  /**
   * Starts work that nobody awaits, out of any task or scope: what it asks for keeps nobody from finishing, and what it
   * acquires itself belongs to nobody.
   * @example
   * await locks.run('video-7', () => {
   *   deadlocks.detached(() => void locks.run('video-7', refresh)); // runs after this task, which does not await it
   * });
   */
  detached<T>(work: () => T): T;
}

/**
 * A detector for one {@link KeyedMutex} or for several, which are then watched together. It works where
 * `AsyncLocalStorage` does: Node, Bun, Deno, workerd with `nodejs_compat`.
 *
 * A wait that would close a circle is refused at once, by a {@link DeadlockError} that goes to who wanted to wait and to
 * nobody else; `cycle` tells who holds and wants what. A circle of one is a task that asks for the key it holds.
 *
 * Known are tasks (of `run` and `runAll`) and scopes, by their async context, so however deep inside the call is made.
 * A task is taken to hold its own lock until everything that was asked for in it, or in tasks and scopes inside it, has
 * been granted; a scope the same for what it was handed. What a task left behind when it settled counts no more.
 *
 * Under that reading it is exact, over keys, mutexes and modes, and over waits that stand behind other waits in a
 * key's line: every circle is found by the wait that closes it, and nothing else is refused. In particular:
 * - A circle counts although a timeout, an abort or the end of a lease would break it in time. A wait with `timeoutMs: 0`
 *   and `tryAcquire` wait for nobody.
 * - `retry` does not help: only LOCK_TIMEOUT is tried again.
 * - A lock that was handed out outside a scope may be released by anybody, so its holder is never blamed: circles
 *   through it are not found. Nor is one through a leased lock, another process, or any other promise.
 * - Work that a task starts and does not await, while it goes on, looks like the task's own. Start it by
 *   {@link AsyncDeadlockDetector.detached}.
 *
 * Nothing is kept once it is released or has left. Each wait costs a walk over the holders that it leads to.
 * Share one detector between the mutexes of a process: before Node 24, each `AsyncLocalStorage` makes all promises dearer.
 * @example
 * const deadlocks = deadlockDetector();
 * const locks = new KeyedMutex({ deadlocks });
 * await locks.run('a', () => locks.run('a', work)); // rejects LOCK_DEADLOCK instead of waiting for ever
 */
export function deadlockDetector(): AsyncDeadlockDetector {
  const context = new AsyncLocalStorage<Line | undefined>();
  const current = (): Line | undefined => alive(context.getStore());
  return {
    name: 'async-context',
    claim(use) {
      const outer = current();
      if (use === 'lock') return outer && new Claim(outer, outer.scope);
      const line = new Line(context, outer, false);
      return new Claim(line, line);
    },
    scope: (work) => new Line(context, current(), true).run(work),
    detached: (work) => context.run(undefined, work),
  };
}

const alive = (line: Line | undefined): Line | undefined => (line?.isOver ? undefined : line);

/** A task, a scope, or a group that is being put together: what has to get on for its locks to be released. */
class Line {
  readonly waits = new Set<DeadlockWait>();
  isOver = false;
  readonly #context: AsyncLocalStorage<Line | undefined>;
  readonly #outer: Line | undefined;
  readonly #isScope: boolean;

  constructor(context: AsyncLocalStorage<Line | undefined>, outer: Line | undefined, isScope: boolean) {
    this.#context = context;
    this.#outer = outer;
    this.#isScope = isScope;
  }

  /** Itself, where it takes what it is handed for its own. */
  get scope(): Line | undefined {
    return this.#isScope ? this : undefined;
  }

  /** Where it was started, while that lasts. */
  get outer(): Line | undefined {
    return alive(this.#outer);
  }

  /** Everybody who cannot finish before this one: itself and, outwards, those it runs in. */
  lineage(): Set<Line> {
    const lines = new Set<Line>();
    for (let line = alive(this); line !== undefined; line = line.outer) lines.add(line);
    return lines;
  }

  async run<T>(work: () => T | PromiseLike<T>): Promise<T> {
    try {
      return await this.#context.run(this, work);
    } finally {
      this.end();
    }
  }

  /** What it has left behind keeps nobody waiting any more. */
  end(): void {
    for (const wait of this.waits) this.forget(wait);
    this.isOver = true;
  }

  forget(wait: DeadlockWait): void {
    for (const line of this.lineage()) line.waits.delete(wait);
  }
}

/** Who asks, and whose the lock is once it is granted. */
class Claim implements DeadlockClaim {
  readonly line: Line;
  #owner: Line | undefined;

  constructor(line: Line, owner: Line | undefined) {
    this.line = line;
    this.#owner = owner;
  }

  get owner(): Line | undefined {
    return alive(this.#owner);
  }

  wait(wait: DeadlockWait): DeadlockError | undefined {
    const lines = this.line.lineage();
    // Asked for by a task that has settled meanwhile: nobody's any more.
    if (lines.size === 0) return undefined;
    const cycle = circle(wait, lines);
    if (cycle !== undefined) return new DeadlockError(wait.queue.key, cycle);
    for (const line of lines) line.waits.add(wait);
    return undefined;
  }

  left(wait: DeadlockWait): void {
    this.line.forget(wait);
  }

  enter<T>(task: () => T | PromiseLike<T>): Promise<T> {
    return this.line.run(task);
  }

  handOut(): void {
    this.#owner = this.line.outer?.scope;
    this.line.end();
  }
}

type Cycle = DeadlockError['cycle'];

/** Somebody who waits, because of whom the one before has to: for what this one's line holds meanwhile. */
interface Step {
  readonly wait: DeadlockWait;
  readonly holder: DeadlockHolder | undefined;
  readonly before: Step | undefined;
}

/**
 * Follows the wait to those who hold what it wants, from there to what has to be granted before they can finish, and so
 * on, until one of `lines` is met again. Nothing is remembered from one wait to the next: what is asked is how the
 * queues stand now.
 */
function circle(wait: DeadlockWait, lines: Set<Line>): Cycle | undefined {
  const seen = new Set<DeadlockWait['queue']>();
  const steps: Step[] = [{ wait, holder: undefined, before: undefined }];
  // The list grows while it is walked, so the circle that is found is a shortest one.
  for (const step of steps) {
    // All who wait at one key wait for the same holders.
    if (seen.has(step.wait.queue)) continue;
    for (const holder of barrier(step.wait).holders) {
      seen.add(step.wait.queue);
      const owner = ownerOf(holder);
      if (owner === undefined) continue;
      if (lines.has(owner)) return told(step, holder);
      for (const next of owner.waits) if (isWaiting(next)) steps.push({ wait: next, holder, before: step });
    }
  }
  return undefined;
}

const ownerOf = ({ terms: { claim } }: DeadlockHolder): Line | undefined =>
  claim instanceof Claim ? claim.owner : undefined;

/** Not so when it is about to end anyway, and only the timer or another listener of its signal comes first. */
const isWaiting = ({ sinceMs, table, terms: { signal, timeoutMs } }: DeadlockWait): boolean =>
  !signal?.aborted && table.clock.now() < sinceMs + timeoutMs;

/** Those because of whom it is not granted; a shared one may be kept from other shared ones by a writer before it. */
function barrier(wait: DeadlockWait): { holders: DeadlockHolder[]; writer: DeadlockWait | undefined } {
  const holders = [...wait.queue.holders()].filter(({ held }) => held);
  if ([wait, ...holders].some(({ terms }) => terms.mode === 'exclusive')) return { holders, writer: undefined };
  const writer = writerBefore(wait);
  return { holders: writer === undefined ? [] : holders, writer };
}

function writerBefore(wait: DeadlockWait): DeadlockWait | undefined {
  for (const other of wait.queue.waiters) {
    if (other === wait) return undefined;
    if (other.terms.mode === 'exclusive' && isWaiting(other)) return other;
  }
  return undefined;
}

/** From who was refused to the one who wants `closing`, which the first one's line holds. */
function told(last: Step, closing: DeadlockHolder): Cycle {
  const links: { owner: string; holds: string; wants: string }[] = [];
  for (let step: Step | undefined = last; step !== undefined; step = step.before) {
    const { wait, holder = closing, before = last } = step;
    const wants = wait.queue.key;
    const { writer } = barrier(wait);
    if (writer !== undefined) links.unshift({ owner: writer.terms.owner, holds: wants, wants });
    links.unshift({ owner: wait.terms.owner || holder.terms.owner, holds: before.wait.queue.key, wants });
  }
  return links;
}

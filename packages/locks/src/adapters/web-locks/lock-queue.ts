import { type Deferred, deferred, type Linked, LinkedList } from '@chunks/base';
import type { LockMode } from '../../types.ts';

/** One request, from its arrival until it is over. */
export class LockRequest implements Linked<LockRequest> {
  previous: LockRequest | undefined = undefined;
  next: LockRequest | undefined = undefined;
  state: 'waiting' | 'held' | 'over' = 'waiting';
  /** Its place among all arrivals; from the grant on, among all grants. */
  order = 0;
  /** Settles as the section does, once the lock is given back. */
  readonly released: Deferred<unknown> = deferred<unknown>();
  readonly name: string;
  readonly mode: LockMode;
  readonly haste: 'ifAvailable' | 'steal' | undefined;
  /** Runs the section, which lasts for as long as the result is open. `false`: without the lock. */
  readonly enter: (granted: boolean) => unknown;

  constructor(name: string, mode: LockMode, haste: LockRequest['haste'], enter: (granted: boolean) => unknown) {
    this.name = name;
    this.mode = mode;
    this.haste = haste;
    this.enter = enter;
  }
}

/** A name that somebody holds or waits for. */
class Resource {
  readonly holders: Set<LockRequest> = new Set<LockRequest>();
  readonly waiters: LinkedList<LockRequest> = new LinkedList<LockRequest>();
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** The first in line, if those who are in let it join. They are all of one mode. */
  get admissible(): LockRequest | undefined {
    const { first } = this.waiters;
    for (const { mode } of this.holders) return mode === 'shared' && first?.mode === 'shared' ? first : undefined;
    return first;
  }
}

const isThenable = (value: unknown): boolean =>
  ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
  typeof (value as { then?: unknown }).then === 'function';

/**
 * Who holds and who waits, for all names. A section begins inside whatever let it in: the request itself, or the end
 * of the section before it. Sections that begin may make requests in turn, while others that the same release lets in
 * have yet to begin: so there is one order over all names, that of arrival.
 */
export class LockQueue {
  readonly resources: Map<string, Resource> = new Map<string, Resource>();
  // Names whose first in line may have become admissible since somebody looked. Hardly ever more than one.
  readonly #stirred = new Set<Resource>();
  // Those who are turned away rather than wait. There are several only while sections begin within sections.
  readonly #hasty = new Set<LockRequest>();
  #count = 0;

  /** When this returns, each section that can begin has begun. */
  add(request: LockRequest): void {
    request.order = ++this.#count;
    const resource = this.#resourceOf(request.name);
    if (request.haste === 'steal') {
      this.#rob(resource);
      this.#pass(request);
      return;
    }
    if (request.haste === 'ifAvailable') this.#hasty.add(request);
    resource.waiters.push(request);
    this.#stirred.add(resource);
    this.#pass();
  }

  /** Out of the line, in O(1); who comes behind moves up. For one who does not wait it does nothing. */
  withdraw(request: LockRequest): void {
    if (request.state !== 'waiting') return;
    this.#take(request);
    request.state = 'over';
    // Not at once: one signal may end several waits, and none of these must be let in by the end of another.
    queueMicrotask(() => this.#pass());
  }

  /** Holders in the order of their grants, those who wait in the order of their arrival. */
  snapshot(): { held: LockRequest[]; pending: LockRequest[] } {
    const all = [...this.resources.values()];
    const inOrder = (a: LockRequest, b: LockRequest): number => a.order - b.order;
    return {
      held: all.flatMap(({ holders }) => [...holders]).sort(inOrder),
      pending: all.flatMap(({ waiters }) => [...waiters]).sort(inOrder),
    };
  }

  #resourceOf(name: string): Resource {
    const known = this.resources.get(name);
    if (known !== undefined) return known;
    const resource = new Resource(name);
    this.resources.set(name, resource);
    return resource;
  }

  // Where a section ends as soon as it has begun, Node passes over the queue within the pass; and one that is turned
  // away ends the innermost pass. Counting the passes keeps Node's order without its recursion.
  #pass(thief?: LockRequest): void {
    let passes = 1;
    for (let next = thief ?? this.#next(); next !== undefined; next = this.#next()) {
      const granted = next === thief || this.#resourceOf(next.name).admissible === next;
      if (next !== thief) this.#take(next);
      const isOver = this.#run(next, granted);
      if (granted && isOver) passes++;
      if (!granted && --passes === 0) return;
    }
  }

  // The first to arrive of those who can enter and those who do not wait.
  #next(): LockRequest | undefined {
    let next: LockRequest | undefined;
    for (const resource of this.#stirred) {
      const { admissible } = resource;
      if (admissible === undefined) this.#calm(resource);
      else if (next === undefined || admissible.order < next.order) next = admissible;
    }
    const [hasty] = this.#hasty;
    return hasty !== undefined && (next === undefined || hasty.order < next.order) ? hasty : next;
  }

  #calm(resource: Resource): void {
    this.#stirred.delete(resource);
    if (resource.holders.size === 0 && resource.waiters.size === 0) this.resources.delete(resource.name);
  }

  #take(request: LockRequest): void {
    const resource = this.#resourceOf(request.name);
    resource.waiters.remove(request);
    this.#hasty.delete(request);
    this.#stirred.add(resource);
  }

  // Whether the section is over already.
  #run(request: LockRequest, granted: boolean): boolean {
    const { released } = request;
    if (granted) this.#hold(request);
    else request.state = 'over';
    try {
      const result = request.enter(granted);
      const isForeign = granted && !(result instanceof Promise) && isThenable(result);
      const open = isForeign ? Promise.resolve(result) : result;
      if (open instanceof Promise) {
        this.#awaitEnd(request, open);
        return false;
      }
      this.#leave(request);
      released.resolve(result);
    } catch (error) {
      this.#leave(request);
      released.reject(error);
    }
    return true;
  }

  #awaitEnd(request: LockRequest, open: Promise<unknown>): void {
    const ended = (settle: () => void): void => {
      this.#leave(request);
      settle();
      this.#pass();
    };
    // Its own `then` may be anybody's.
    Promise.prototype.then.call(
      open,
      (value) => ended(() => request.released.resolve(value)),
      (reason) => ended(() => request.released.reject(reason)),
    );
  }

  #hold(request: LockRequest): void {
    request.state = 'held';
    request.order = ++this.#count;
    this.#resourceOf(request.name).holders.add(request);
  }

  #leave(request: LockRequest): void {
    if (request.state !== 'held') return;
    request.state = 'over';
    const resource = this.#resourceOf(request.name);
    resource.holders.delete(request);
    this.#stirred.add(resource);
  }

  #rob(resource: Resource): void {
    for (const holder of resource.holders) {
      holder.state = 'over';
      holder.released.reject(new DOMException("Lock broken by another request with the 'steal' option.", 'AbortError'));
    }
    resource.holders.clear();
  }
}

import { AsyncLocalStorage } from 'node:async_hooks';
import { settle, VirtualClock } from '@chunks/base/testing';
import {
  type AcquireOptions,
  type DeadlockClaim,
  type DeadlockDetector,
  KeyedMutex,
  type LockEvent,
  type LockMode,
} from '@chunks/locks';
import { deadlockDetector } from '@chunks/locks/deadlock';
import fc from 'fast-check';
import { expect } from 'vitest';
import { type Call, type Line, type Party, Standing } from './oracle.ts';

/** Where the program can act: in a task, in a scope, or outside. */
interface Place {
  readonly line: Line | undefined;
  readonly within: <T>(act: () => T) => T;
  readonly finish: () => void;
  /** Calls made here that are not settled, and how many of them are scopes. */
  open: number;
  scopes: number;
}

interface Handle {
  readonly place: Place;
  readonly release: () => unknown;
}

const KEYS = ['a', 'b', 'c', 'd', 'e'];
// One for all programs: until Node 24 each AsyncLocalStorage makes every promise of the process dearer, for ever.
const detector = deadlockDetector();

/** What happens next; numbers pick from what there is. */
export const step: fc.Arbitrary<Step> = fc.record({
  does: fc.oneof(
    { weight: 12, arbitrary: fc.constant('run' as const) },
    { weight: 3, arbitrary: fc.constantFrom('acquire' as const, 'runAll' as const) },
    { weight: 2, arbitrary: fc.constantFrom('acquireAll' as const, 'scope' as const, 'finish' as const) },
    { weight: 1, arbitrary: fc.constantFrom('try' as const, 'release' as const, 'abort' as const, 'leave' as const) },
    { weight: 1, arbitrary: fc.constantFrom('detached' as const, 'advance' as const, 'jump' as const) },
  ),
  place: fc.nat(),
  key: fc.nat(4),
  mode: fc.constantFrom<LockMode>('exclusive', 'exclusive', 'shared'),
  timeoutMs: fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined, freq: 3 }),
  leaseMs: fc.oneof(
    { weight: 6, arbitrary: fc.constant(Number.POSITIVE_INFINITY) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 20 }) },
  ),
  retries: fc.boolean(),
});
export interface Step {
  does:
    | 'run'
    | 'runAll'
    | 'acquire'
    | 'acquireAll'
    | 'try'
    | 'scope'
    | 'detached'
    | 'finish'
    | 'leave'
    | 'release'
    | 'abort'
    | 'advance'
    | 'jump';
  place: number;
  key: number;
  mode: LockMode;
  timeoutMs: number | undefined;
  leaseMs: number;
  retries: boolean;
}

/** What was seen over all programs: so that a test can tell that it has tested something. */
export const seen: { waits: number; left: number; circles: number[]; throughWriters: number } = {
  waits: 0,
  left: 0,
  circles: [],
  throughWriters: 0,
};

/**
 * Random calls on two mutexes that share a detector, each made inside a task, a scope or outside. Who holds and who
 * waits is taken down from the events, and what the detector answers to each wait is compared with both oracles.
 */
export class Program {
  readonly #clock = new VirtualClock();
  readonly #real = detector;
  readonly #mutexes: readonly KeyedMutex[];
  readonly #outside: Place = { line: undefined, within: (act) => act(), finish: () => undefined, open: 0, scopes: 0 };
  #places: Place[] = [this.#outside];
  #handles: Handle[] = [];
  #controllers: AbortController[] = [];
  #holders: Party[] = [];
  #waiters: Party[] = [];
  readonly #calls = new Map<string, { call: Call; timeoutMs: number; leaseMs: number }>();
  #calling: Call | undefined;
  readonly #faults: unknown[] = [];

  constructor() {
    const deadlocks: DeadlockDetector = { name: 'checked', claim: (use) => this.#claim(use) };
    const { random, clock } = { random: () => 0.5, clock: this.#clock };
    this.#mutexes = [0, 1].map(() => new KeyedMutex({ clock, deadlocks, random, leaseMs: Number.POSITIVE_INFINITY }));
    for (const mutex of this.#mutexes) this.#takeDown(mutex);
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const one of steps) {
      await this.#take(one);
      await settle();
    }
    await this.#endAll();
  }

  async #take(one: Step): Promise<void> {
    const place = this.#places[one.place % this.#places.length] as Place;
    // A scope has promised to do one thing after the other; side by side it has scopes only.
    const isBusy = place.line?.isScope && place.open > (one.does === 'scope' ? place.scopes : 0);
    if (isBusy && !['detached', 'leave'].includes(one.does)) return;
    if (one.does === 'advance') await this.#clock.advance(one.key * 3);
    else if (one.does === 'jump') this.#clock.jump(one.key * 3);
    else if (one.does === 'scope') this.#scope(place);
    else if (one.does === 'finish') this.#finish(place, place.open > 0);
    else if (one.does === 'leave') this.#finish(place, false);
    else if (one.does === 'release') this.#handles.splice(one.place % (this.#handles.length + 1), 1)[0]?.release();
    else if (one.does === 'abort')
      this.#controllers[one.place % (this.#controllers.length + 1)]?.abort({ code: 'gone' });
    else this.#call(place, one);
  }

  #call(at: Place, { does, key: first, mode, timeoutMs, leaseMs, retries }: Step): void {
    const isDetached = does === 'detached';
    const place = isDetached ? this.#outside : at;
    const use = does === 'acquire' || does === 'try' ? 'lock' : does === 'acquireAll' ? 'group' : 'task';
    const asker = place.line?.isOver ? undefined : place.line;
    const own = use === 'lock' ? undefined : { outer: asker, isScope: false, isOver: false };
    const call: Call = { id: `call ${this.#calls.size}`, use, asker, own, isHandedOut: false };
    const isGroup = does === 'runAll' || does === 'acquireAll';
    const controller = new AbortController();
    const options: AcquireOptions = {
      mode,
      timeoutMs,
      leaseMs: isGroup ? Number.POSITIVE_INFINITY : leaseMs,
      maxHoldMs: isGroup ? Number.POSITIVE_INFINITY : leaseMs,
      owner: call.id,
      signal: controller.signal,
      retry: retries ? { attempts: 2, baseMs: 0 } : undefined,
    };
    this.#calls.set(call.id, {
      call,
      timeoutMs: timeoutMs ?? Number.POSITIVE_INFINITY,
      leaseMs: options.leaseMs ?? 0,
    });
    this.#controllers.push(controller);
    const mutex = this.#mutexes[first % 2] as KeyedMutex;
    const keys = KEYS.filter((_, i) => i % 2 === first % 2);
    const key = KEYS[first] as string;
    const made = (): Promise<unknown> => {
      this.#calling = call;
      const hand = (lock: { release(): unknown }): unknown =>
        this.#handles.push({ place, release: () => lock.release() });
      if (does === 'acquire') return mutex.acquire(key, options).then(hand);
      if (does === 'acquireAll') return mutex.acquireAll(keys, options).then(hand);
      if (does === 'runAll') return mutex.runAll(keys, () => this.#enter(own as Line), options);
      if (does === 'try') return Promise.resolve(mutex.tryAcquire(key, options)).then((lock) => lock && hand(lock));
      return mutex.run(key, () => this.#enter(own as Line), options);
    };
    // Each time a call of its own, so that one that throws at once is a rejection, too.
    const promise = at.within(async () => (isDetached ? this.#real.detached(made) : made()));
    place.open++;
    promise.then(
      () => place.open--,
      (error: { code: string }) => {
        place.open--;
        if (!/^LOCK_(DEADLOCK|TIMEOUT|LOST)$|^gone$/.test(error.code)) this.#faults.push(error);
      },
    );
  }

  #scope(place: Place): void {
    const outer = place.line?.isOver ? undefined : place.line;
    place.open++;
    place.scopes++;
    const scope = place.within(() => this.#real.scope(() => this.#enter({ outer, isScope: true, isOver: false })));
    scope.then(() => {
      place.open--;
      place.scopes--;
    });
  }

  #enter(line: Line): Promise<void> {
    return new Promise((resolve) => {
      const place: Place = {
        line,
        within: AsyncLocalStorage.snapshot(),
        open: 0,
        scopes: 0,
        finish: () => {
          line.isOver = true;
          this.#places = this.#places.filter((other) => other !== place);
          resolve();
        },
      };
      this.#places.push(place);
    });
  }

  /** A task settles; it was to await everything that it started, but may have left some behind. */
  #finish(place: Place, isEarly: boolean): void {
    if (!isEarly) place.finish();
  }

  /** Nobody asks any more: everybody finishes who can, without any help of time. */
  async #endAll(): Promise<void> {
    for (let idle = 0; idle < 3; idle++) {
      // Only for those who pause before they try again.
      await this.#clock.advance(0);
      const over = this.#places.filter((place) => place.open === 0 && place !== this.#outside);
      // What a scope holds it keeps until it has what it asked for; what is nobody's can go at any time.
      const free = this.#handles.filter(({ place: { line, open } }) => !line?.isScope || line.isOver || open === 0);
      this.#handles = this.#handles.filter((handle) => !free.includes(handle));
      for (const handle of free) handle.release();
      for (const place of over) place.finish();
      if (over.length + free.length > 0) idle = 0;
    }
    expect(this.#faults).toEqual([]);
    expect(this.#places).toEqual([this.#outside]);
    for (const mutex of this.#mutexes) expect(mutex.snapshot()).toEqual({ held: [], waiting: [] });
    expect(this.#outside.open).toBe(0);
    expect([this.#holders, this.#waiters]).toEqual([[], []]);
  }

  /** From the events alone. */
  #takeDown(mutex: KeyedMutex): void {
    const party = ({ key, mode, owner }: LockEvent, untilMs: number): Party => {
      const { call } = this.#calls.get(owner) as { call: Call };
      return { call, key, mode, untilMs };
    };
    const without = (parties: Party[], { key, owner }: LockEvent): Party[] =>
      parties.filter(({ call, key: other }) => call.id !== owner || key !== other);
    mutex.on('queued', (event) => {
      const { timeoutMs = 0 } = this.#calls.get(event.owner) ?? {};
      this.#waiters.push(party(event, event.atMs + timeoutMs));
    });
    mutex.on('acquired', (event) => {
      this.#waiters = without(this.#waiters, event);
      const { leaseMs = 0 } = this.#calls.get(event.owner) ?? {};
      this.#holders.push(party(event, event.atMs + leaseMs));
    });
    for (const name of ['timeout', 'aborted'] as const) {
      mutex.on(name, (event) => {
        this.#waiters = without(this.#waiters, event);
      });
    }
    for (const name of ['released', 'lost'] as const) {
      mutex.on(name, (event) => {
        this.#holders = without(this.#holders, event);
      });
    }
  }

  /** The detector's own claim, whose answers are checked before anybody gets them. */
  #claim(use: Call['use']): DeadlockClaim | undefined {
    const call = this.#calling as Call;
    const claim = this.#real.claim(use);
    expect(claim === undefined).toBe(call.asker === undefined && use === 'lock');
    if (claim === undefined) return undefined;
    const { wait, left, handOut } = claim;
    return Object.assign(claim, {
      wait: (asked: Parameters<typeof wait>[0]) => {
        const { sinceMs, terms, queue } = asked;
        const party: Party = { call, key: queue.key, mode: terms.mode, untilMs: sinceMs + terms.timeoutMs };
        const standing = new Standing(this.#holders, this.#waiters, party, this.#clock.now());
        const error = wait.call(claim, asked);
        const is = { refused: error !== undefined, leadsToItself: standing.leadsToItself() };
        expect({ ...is, neverEnds: standing.neverEnds() }).toEqual(
          is.leadsToItself
            ? { refused: true, leadsToItself: true, neverEnds: true }
            : { refused: false, leadsToItself: false, neverEnds: false },
        );
        if (error === undefined) seen.waits++;
        if (error !== undefined) {
          expect(standing.faultsOf(error.cycle)).toEqual([]);
          seen.circles.push(error.cycle.length);
          if (error.cycle.some(({ holds, wants }, i) => i > 0 && holds === wants)) seen.throughWriters++;
        }
        return error;
      },
      left: (asked: Parameters<typeof left>[0]) => {
        seen.left++;
        left.call(claim, asked);
      },
      handOut: () => {
        call.isHandedOut = true;
        handOut.call(claim);
      },
    });
  }
}

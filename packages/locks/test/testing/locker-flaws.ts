import { KeyedMutex, type LocalLock, type Locker, type LockerOptions } from '@chunks/locks';
import { type LockerAbilities, lockerContract, VirtualClock } from '@chunks/locks/testing';
import type { LockerCases } from '../../src/testing/locker-cases.ts';
import type { AcquireOptions, LockGroup } from '../../src/types.ts';

type Task<T> = (lock: LocalLock) => T | PromiseLike<T>;
type Overrides<T> = { readonly [member in keyof T]?: T[member] };

/** The same object, but for some of its members; its methods still run on the object itself. */
function altered<T extends object>(target: T, overrides: Overrides<T>): T {
  return new Proxy(target, {
    get(_, member) {
      if (Object.hasOwn(overrides, member)) return Reflect.get(overrides, member);
      const value: unknown = Reflect.get(target, member, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** What a locker with some flaw does otherwise than the mutex. */
type Break = (mutex: KeyedMutex, clock: VirtualClock, options: LockerOptions) => Overrides<KeyedMutex>;

/** Alters every lock that the mutex gives. */
const locks =
  (alter: (lock: LocalLock, clock: VirtualClock) => Overrides<LocalLock>): Break =>
  (mutex, clock) => {
    const changed = (lock: LocalLock): LocalLock => altered(lock, alter(lock, clock));
    return {
      acquire: async (...args) => changed(await mutex.acquire(...args)),
      run: <T>(key: string, task: Task<T>, options?: AcquireOptions) =>
        mutex.run(key, (lock) => task(changed(lock)), options),
    };
  };

const groups =
  (alter: (group: LockGroup<LocalLock>) => Overrides<LockGroup<LocalLock>>): Break =>
  (mutex) => ({
    acquireAll: async (...args) => {
      const group = await mutex.acquireAll(...args);
      return altered(group, alter(group));
    },
  });

const calls =
  (alter: (options: AcquireOptions) => AcquireOptions, key = (name: string) => name): Break =>
  (mutex) => ({
    acquire: (name, options) => mutex.acquire(key(name), options && alter(options)),
    run: (name, task, options) => mutex.run(key(name), task, options && alter(options)),
  });

/** A waiter that gives up is forgotten, but not taken out of the queue. */
const keepGhosts: Break = (mutex, clock) => ({
  async acquire(key, options = {}) {
    const lock = mutex.acquire(key, { ...options, timeoutMs: undefined });
    if (options.timeoutMs === undefined) return lock;
    const gone = clock.sleep(options.timeoutMs).then(() => 'gone' as const);
    const first = await Promise.race([lock, gone]);
    return first === 'gone' ? altered(mutex, {}).acquire(key, { timeoutMs: 0 }) : first;
  },
});

/** Asks the free key for whoever came last. */
const lastComeFirst: Break = (mutex) => {
  const stack: (() => void)[] = [];
  const serve = (): void => stack.at(-1)?.();
  const acquire: KeyedMutex['acquire'] = (key, options) =>
    new Promise((resolve) => {
      const attempt = (): void => {
        const lock = mutex.tryAcquire(key, options);
        if (lock === undefined) return;
        stack.splice(stack.indexOf(attempt), 1);
        const release = (): boolean => {
          const wasOurs = lock.release();
          serve();
          return wasOurs;
        };
        resolve(altered(lock, { release }));
      };
      stack.push(attempt);
      serve();
    });
  return {
    acquire,
    async run(key, task, options) {
      const lock = await acquire(key, options);
      try {
        return await task(lock);
      } finally {
        lock.release();
      }
    },
    stats: () => ({ ...mutex.stats(), waiting: stack.length }),
  };
};

/** Takes them one after the other, in the order given. */
const inGivenOrder =
  (o: { releases: boolean }): Break =>
  (mutex) => {
    const acquireAll: KeyedMutex['acquireAll'] = async (keys, options) => {
      const groups: LockGroup<LocalLock>[] = [];
      try {
        for (const key of new Set(keys)) groups.push(await mutex.acquireAll([key], options));
      } catch (error) {
        if (o.releases) for (const group of groups) await group.release();
        throw error;
      }
      const [first] = groups;
      if (first === undefined) return mutex.acquireAll([]);
      return altered(first, {
        locks: groups.flatMap((group) => group.locks),
        get: (key) => groups.flatMap((group) => group.locks).find((lock) => lock.key === key),
        release: async () => (await Promise.all(groups.map((group) => group.release()))).every(Boolean),
      });
    };
    return {
      acquireAll,
      async runAll(keys, task, options) {
        const group = await acquireAll(keys, options);
        try {
          return await task(group);
        } finally {
          await group.release();
        }
      },
    };
  };

const free = 'a free key is granted, and the lock tells how';
const released = 'a release opens the key once; the next token is higher';
const order = 'waiters enter one at a time, in the order in which they came';
const keys = 'keys know nothing of each other';
const tries = 'tryAcquire takes a free key, and neither waits nor passes a waiter';
const counter = 'a counter behind the lock loses nothing';
const timesOut = 'a wait ends after timeoutMs, and delays nobody';
const defaults = "timeoutMs 0 tries once; where none is given, the locker's counts";
const aborts = 'an abort ends the wait with its own reason, and delays nobody';
const granted = 'after the grant an abort means nothing';
const listeners = 'no listener stays on a signal';
const retries = 'retry starts over after a timeout, so many times';
const full = 'one waiter more than maxWaiting is refused';
const ends = 'when a lease ends its signal aborts first, then the key is handed on with a higher token';
const extend = 'extend makes it last longer, and never shorter';
const renews = 'run keeps the lock as long as its task lasts, up to ten leases';
const run = 'run gives what its task gives, or throws what it throws, and releases';
const runLost = 'run rejects when the lock was lost under its task, with what that did, after that';
const group = 'a group is all of its keys, each once, sorted';
const allOrNothing = 'a group is all or nothing: what it had is free again when it fails';
const circle = 'groups never wait for each other in a circle';
const groupLost = 'a group is lost when a member is, and all of it is free';
const groupExtend = 'a group that is extended lasts longer';
const isLocked = 'isLocked tells whether somebody holds the key';
const stats = 'stats and snapshot tell who holds, who waits, and what has been';
const events = 'events tell all that happens, in order, until the listener is taken off';
const close = 'close refuses who waits and who comes, and waits for who holds';
const disposal = 'a lock and a locker are disposed of at the end of their block';
const badInput = 'bad input is refused by an error that names it, and changes nothing';
const shared = 'shared holders are in together, and a waiting exclusive one is never passed';

/** Ways of getting a locker wrong: which case catches it, and how it is done. */
export const flaws: Record<string, [caughtBy: string, flaw: Break]> = {
  'tells no owner': [free, locks(() => ({ owner: '' }))],
  'aborts at the release': [
    free,
    locks((lock) => {
      const end = new AbortController();
      return {
        signal: end.signal,
        release() {
          end.abort();
          return lock.release();
        },
      };
    }),
  ],
  'says true to every release': [
    released,
    locks((lock) => ({
      release() {
        lock.release();
        return true;
      },
    })),
  ],
  'gives one token to all': [released, locks(() => ({ token: 1 }))],
  'lets every second one in': [
    order,
    (mutex) => {
      let count = 0;
      return { run: (key, task) => mutex.run(`${key} ${count++ % 2}`, task) };
    },
  ],
  'serves the last first': [order, lastComeFirst],
  'folds the case of keys': [
    keys,
    calls(
      (options) => options,
      (key) => key.toLowerCase(),
    ),
  ],
  'gives a busy key to who tries': [tries, (mutex) => ({ tryAcquire: (key) => mutex.tryAcquire(`${key} tried`) })],
  'passes waiters when it tries': [
    tries,
    (mutex) => {
      let waits = 0;
      return {
        async acquire(key, options) {
          waits++;
          await null;
          for (;;) {
            const lock = mutex.tryAcquire(key, options);
            if (lock !== undefined) {
              waits--;
              return lock;
            }
            await null;
            await null;
          }
        },
        stats: () => ({ ...mutex.stats(), waiting: waits }),
      };
    },
  ],
  'runs without the lock': [counter, () => ({ run: async (_, task) => task(undefined as never) })],
  'waits for ever': [timesOut, calls((options) => ({ ...options, timeoutMs: undefined }))],
  'keeps who has timed out in the queue': [timesOut, keepGhosts],
  'waits for ever by default': [
    defaults,
    (_, clock, { timeoutMs: __, ...options }) => {
      const mutex = new KeyedMutex({ ...options, clock });
      return { acquire: (...args) => mutex.acquire(...args) };
    },
  ],
  'gives an abort a reason of its own': [
    aborts,
    (mutex) => ({
      acquire: (key, options) =>
        mutex.acquire(key, options).catch((error) => {
          throw options?.signal?.aborted ? new DOMException('aborted', 'AbortError') : error;
        }),
    }),
  ],
  'releases on a late abort': [
    granted,
    (mutex) => ({
      async acquire(key, options) {
        const lock = await mutex.acquire(key, options);
        options?.signal?.addEventListener('abort', () => lock.release());
        return lock;
      },
    }),
  ],
  'leaves its listeners on the signal': [
    listeners,
    (mutex) => ({
      acquire(key, options) {
        options?.signal?.addEventListener('abort', () => undefined);
        return mutex.acquire(key, options);
      },
    }),
  ],
  'never retries': [retries, calls(({ retry: _, ...options }) => options)],
  'has room for any number of waiters': [
    full,
    (_, clock) => {
      const mutex = new KeyedMutex({ clock });
      return {
        acquire: (...args) => mutex.acquire(...args),
        stats: () => mutex.stats(),
      };
    },
  ],
  'hands on before the signal aborts': [
    ends,
    locks((lock, clock) => {
      const late = new AbortController();
      lock.signal.addEventListener('abort', () => clock.after(5, () => late.abort(lock.signal.reason)));
      return { signal: late.signal };
    }),
  ],
  'gives no lost error to assertHeld': [ends, locks(() => ({ assertHeld: () => undefined }))],
  'extends nothing': [extend, locks(() => ({ extend: () => undefined }))],
  'shortens a lease': [
    extend,
    locks((lock) => {
      let endMs = lock.expiresAtMs;
      return {
        get expiresAtMs() {
          return endMs;
        },
        extend(leaseMs) {
          lock.extend(leaseMs);
          endMs = lock.acquiredAtMs + (leaseMs ?? 0);
        },
      };
    }),
  ],
  'does not renew for run': [
    renews,
    (mutex) => ({ run: (key, task, options) => mutex.run(key, task, { ...options, maxHoldMs: options?.leaseMs }) }),
  ],
  'keeps the lock when the task fails': [
    run,
    (mutex) => ({
      async run(key, task, options) {
        const lock = await mutex.acquire(key, options);
        const value = await task(lock);
        lock.release();
        return value;
      },
    }),
  ],
  'hides from run that the lock was lost': [
    runLost,
    (mutex) => ({
      async run(key, task, options) {
        const lock = await mutex.acquire(key, options);
        try {
          return await task(lock);
        } finally {
          lock.release();
        }
      },
    }),
  ],
  'rejects before the task is over': [
    runLost,
    (mutex) => ({
      async run<T>(key: string, task: Task<T>, options?: AcquireOptions) {
        const lock = await mutex.acquire(key, options);
        const cut = new Promise<never>((_, reject) => {
          lock.signal.addEventListener('abort', () => reject(lock.signal.reason));
        });
        cut.catch(() => undefined);
        return Promise.race([task(lock), cut]).finally(() => lock.release());
      },
    }),
  ],
  'keeps the order of keys': [group, inGivenOrder({ releases: true })],
  'keeps members of a group that failed': [allOrNothing, inGivenOrder({ releases: false })],
  'takes groups in the order given': [circle, inGivenOrder({ releases: true })],
  'never loses a group': [
    groupLost,
    groups(() => ({
      signal: new AbortController().signal,
      get held() {
        return true;
      },
    })),
  ],
  'extends no group': [groupExtend, groups(() => ({ extend: async () => undefined }))],
  'sees no lock': [isLocked, () => ({ isLocked: () => false })],
  'counts nothing': [stats, (mutex) => ({ stats: () => ({ ...mutex.stats(), acquired: 0, released: 0 }) })],
  'shows waiters in no order': [
    stats,
    (mutex) => ({
      snapshot() {
        const { held, waiting } = mutex.snapshot();
        return { held, waiting: waiting.reverse() };
      },
    }),
  ],
  'tells of no release': [
    events,
    (mutex) => ({ on: (event, listener) => (event === 'released' ? () => undefined : mutex.on(event, listener)) }),
  ],
  'keeps listeners that were taken off': [
    events,
    (mutex) => ({
      on(event, listener) {
        mutex.on(event, listener);
        return () => undefined;
      },
    }),
  ],
  'closes over who holds': [
    close,
    (mutex) => ({
      async close() {
        void mutex.close();
      },
    }),
  ],
  'goes on after close': [
    close,
    (mutex, clock) => {
      const other = new KeyedMutex({ clock });
      return {
        tryAcquire: (key) => other.tryAcquire(`${key}`),
        run: (...args) => other.run(...args),
        close: () => mutex.close(),
      };
    },
  ],
  'disposes of nothing': [disposal, locks(() => ({ [Symbol.asyncDispose]: async () => undefined }))],
  'takes any key': [
    badInput,
    calls(
      (options) => options,
      (key) => key || 'empty',
    ),
  ],
  'takes any time': [badInput, calls(({ timeoutMs: _, ...options }) => options)],
  'gives shared holders a token each': [
    shared,
    (mutex) => {
      let last = 0;
      return { acquire: async (...args) => altered(await mutex.acquire(...args), { token: ++last }) };
    },
  ],
  'lets shared newcomers pass': [
    shared,
    (mutex) => ({
      tryAcquire: (key, options) => mutex.tryAcquire(options?.mode === 'shared' ? `${key} shared` : key, options),
    }),
  ],
};

/** The flaws that one of these cases catches. */
export function flawsAgainst(cases: LockerCases): [flaw: string, caughtBy: string, how: Break][] {
  return Object.entries(flaws).flatMap(([flaw, [caughtBy, how]]) =>
    caughtBy in cases ? [[flaw, caughtBy, how] as [string, string, Break]] : [],
  );
}

/** The names of the cases that do not hold for a mutex with this flaw. */
export async function redCases(abilities: LockerAbilities, flaw: Break = () => ({})): Promise<string[]> {
  const make = () => {
    const clock = new VirtualClock();
    const open = (options: LockerOptions): Locker => {
      const mutex = new KeyedMutex({ ...options, clock });
      return altered(mutex, flaw(mutex, clock, options));
    };
    return { open, pass: (ms: number) => clock.advance(ms) };
  };
  const names = lockerContract(make, abilities).map(({ name, run: test }) =>
    test().then(
      () => [],
      () => [name],
    ),
  );
  return (await Promise.all(names)).flat();
}

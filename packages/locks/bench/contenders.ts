// The libraries under comparison, each used in the way its own documentation shows, and keyed by hand where it has no
// keys. They are loaded by name and described structurally, so that nobody needs them who does not run the benchmark.

export interface Contender {
  readonly name: string;
  /** Locks and unlocks one key after the other. */
  sequence(keys: readonly string[]): Promise<void>;
  /** That many tasks on one key at once, each of which locks and unlocks it. */
  crowd(count: number, timeoutMs?: (task: number) => number): Promise<void>;
  /** Locks and does not unlock. */
  hold(key: string): Promise<unknown>;
  /** Waits behind a holder; the wait's promise, not its end. */
  wait(key: string, timeoutMs?: number): Promise<unknown>;
}

interface Released {
  release(): unknown;
}
interface ChunksModule {
  KeyedMutex: new (options?: {
    maxWaiting?: number;
  }) => {
    acquire(key: string, options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<Released>;
    tryAcquire(key: string): Released | undefined;
    run<T>(key: string, task: () => T | Promise<T>): Promise<T>;
  };
}
interface AsyncLockModule {
  default: new (o: {
    maxPending: number;
  }) => { acquire(key: string, task: () => Promise<unknown>, o?: { timeout: number }): Promise<unknown> };
}
interface Mutex {
  acquire(): Promise<() => void>;
  isLocked(): boolean;
}
interface AsyncMutexModule {
  Mutex: new () => Mutex;
  withTimeout(mutex: Mutex, timeoutMs: number): Mutex;
}
interface Sema {
  acquire(): Promise<unknown>;
  release(): void;
  nrWaiting(): number;
}
interface TusLock {
  lock(signal: AbortSignal, requestRelease: () => void): Promise<void>;
  unlock(): Promise<void>;
}
interface TusModule {
  MemoryLocker: new () => { newLock(id: string): TusLock };
}
interface WebLocks {
  request(name: string, task: () => Promise<unknown>): Promise<unknown>;
}
interface AsyncSemaModule {
  Sema: new (permits: number) => Sema;
}

async function load<T>(name: string): Promise<T> {
  try {
    return (await import(name)) as T;
  } catch (cause) {
    throw new Error(`${name} is missing: \`pnpm install --ignore-workspace\` in this folder, and build the package`, {
      cause,
    });
  }
}

const release = (lock: Released): unknown => lock.release();
const nothing = async (): Promise<void> => undefined;
const times = <T>(count: number, make: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => make(i)));

/** @chunks/locks itself, for what the others cannot do at all. */
export const chunksModule = (): Promise<ChunksModule> => load<ChunksModule>('@chunks/locks');

async function chunks(): Promise<Contender> {
  const { KeyedMutex } = await chunksModule();
  const locks = new KeyedMutex();
  return {
    name: '@chunks/locks',
    sequence: async (keys) => {
      for (const key of keys) (await locks.acquire(key)).release();
    },
    crowd: async (count, timeoutMs) => {
      if (timeoutMs === undefined) await times(count, () => locks.acquire('k').then(release));
      else await times(count, (i) => locks.acquire('k', { timeoutMs: timeoutMs(i) }).then(release));
    },
    hold: (key) => locks.acquire(key),
    wait: (key, timeoutMs) => (timeoutMs === undefined ? locks.acquire(key) : locks.acquire(key, { timeoutMs })),
  };
}

async function asyncLock(): Promise<Contender> {
  const { default: AsyncLock } = await load<AsyncLockModule>('async-lock');
  const locks = new AsyncLock({ maxPending: Number.POSITIVE_INFINITY });
  return {
    name: 'async-lock',
    sequence: async (keys) => {
      for (const key of keys) await locks.acquire(key, nothing);
    },
    crowd: async (count, timeoutMs) => {
      if (timeoutMs === undefined) await times(count, () => locks.acquire('k', nothing));
      else await times(count, (i) => locks.acquire('k', nothing, { timeout: timeoutMs(i) }));
    },
    hold: (key) => new Promise((held) => void locks.acquire(key, () => new Promise(held))),
    wait: (key, timeoutMs) =>
      timeoutMs === undefined ? locks.acquire(key, nothing) : locks.acquire(key, nothing, { timeout: timeoutMs }),
  };
}

async function asyncMutex(): Promise<Contender> {
  const { Mutex, withTimeout } = await load<AsyncMutexModule>('async-mutex');
  const mutexes = new Map<string, Mutex>();
  const of = (key: string): Mutex => {
    let mutex = mutexes.get(key);
    if (mutex === undefined) mutexes.set(key, (mutex = new Mutex()));
    return mutex;
  };
  const once = async (key: string, timeoutMs?: number): Promise<void> => {
    const mutex = of(key);
    const unlock = await (timeoutMs === undefined ? mutex : withTimeout(mutex, timeoutMs)).acquire();
    unlock();
    if (!mutex.isLocked()) mutexes.delete(key);
  };
  return {
    name: 'async-mutex, keyed',
    sequence: async (keys) => {
      for (const key of keys) await once(key);
    },
    crowd: async (count, timeoutMs) => void (await times(count, (i) => once('k', timeoutMs?.(i)))),
    hold: (key) => of(key).acquire(),
    wait: (key, timeoutMs) => (timeoutMs === undefined ? of(key) : withTimeout(of(key), timeoutMs)).acquire(),
  };
}

async function asyncSema(): Promise<Contender> {
  const { Sema } = await load<AsyncSemaModule>('async-sema');
  const semas = new Map<string, Sema>();
  const of = (key: string): Sema => {
    let sema = semas.get(key);
    if (sema === undefined) semas.set(key, (sema = new Sema(1)));
    return sema;
  };
  const once = async (key: string): Promise<void> => {
    const sema = of(key);
    await sema.acquire();
    if (sema.nrWaiting() === 0) semas.delete(key);
    sema.release();
  };
  return {
    name: 'async-sema, keyed, no timeouts',
    sequence: async (keys) => {
      for (const key of keys) await once(key);
    },
    crowd: async (count) => void (await times(count, () => once('k'))),
    hold: (key) => of(key).acquire(),
    wait: (key) => of(key).acquire(),
  };
}

async function webLocks(): Promise<Contender> {
  const { locks } = navigator as unknown as { locks: WebLocks };
  return {
    name: 'navigator.locks, no timeouts',
    sequence: async (keys) => {
      for (const key of keys) await locks.request(key, nothing);
    },
    crowd: async (count) => void (await times(count, () => locks.request('k', nothing))),
    hold: (key) => new Promise((held) => void locks.request(key, () => new Promise(held))),
    wait: (key) => locks.request(key, nothing),
  };
}

async function tusMemoryLocker(): Promise<Contender> {
  const { MemoryLocker } = await load<TusModule>('@tus/server');
  const locker = new MemoryLocker();
  const never = new AbortController().signal;
  const once = async (key: string): Promise<void> => {
    const lock = locker.newLock(key);
    await lock.lock(never, () => undefined);
    await lock.unlock();
  };
  return {
    // Each waiter asks again in every turn of the event loop: ten thousand of them would never come to an end.
    name: 'tus MemoryLocker, no crowds',
    sequence: async (keys) => {
      for (const key of keys) await once(key);
    },
    crowd: async (count) => void (await times(count, () => once('k'))),
    hold: (key) => locker.newLock(key).lock(never, () => undefined),
    wait: (key) => once(key),
  };
}

const all = {
  '@chunks/locks': chunks,
  'async-lock': asyncLock,
  'async-mutex': asyncMutex,
  'async-sema': asyncSema,
  'navigator.locks': webLocks,
  'tus MemoryLocker': tusMemoryLocker,
};

export const names: readonly string[] = Object.keys(all);

export function contender(name: string): Promise<Contender> {
  const make = all[name as keyof typeof all];
  if (make === undefined) throw new RangeError(`a contender must be one of ${names.join(', ')}, but is ${name}`);
  return make();
}

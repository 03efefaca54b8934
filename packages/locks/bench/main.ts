// `node main.ts`, after `pnpm install --ignore-workspace` here and a build of the package. Every figure is a median of
// interleaved rounds, in ms of processor time, garbage collection included: what else the machine does counts less that
// way. Read the ratios; the milliseconds are this machine's.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compare, interleave, median, type Contender as Side, table } from '../../base/bench/interleave.ts';
import { type Contender, chunksModule, contender, names } from './contenders.ts';

const KEYS = 10_000;
const WAITERS = 10_000;
const REFERENCE = 'async-lock';
const keys = Array.from({ length: KEYS }, (_, i) => `video-7/chunk-${i}`);
const one = keys.map(() => 'k');

const side = (name: string, run: () => void | Promise<void>): Side => ({
  name,
  run: async () => {
    const before = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  },
});
const sides = (subjects: readonly Contender[], run: (subject: Contender) => Promise<void>): Side[] =>
  subjects.map((subject) => side(subject.name, () => run(subject)));

function alone(what: string, name: string, ...flags: string[]): number {
  const script = fileURLToPath(new URL('alone.ts', import.meta.url));
  return Number(execFileSync(process.execPath, [...flags, script, what, name], { encoding: 'utf8' }));
}

const subjects = await Promise.all(names.map(contender));
const timed = subjects.filter(({ name }) => !name.includes(', no '));
const crowded = subjects.filter(({ name }) => !name.includes('no crowds'));
const { KeyedMutex } = await chunksModule();

async function warm(): Promise<void> {
  const locks = new KeyedMutex();
  const direct = side('@chunks/locks, tryAcquire', () => {
    for (const key of keys) locks.tryAcquire(key)?.release();
  });
  const wrapped = side('@chunks/locks, run', async () => {
    for (const key of keys) await locks.run(key, async () => undefined);
  });
  const options = { reference: REFERENCE, rounds: 25, drop: 10 };
  await compare(
    '10,000 × lock and unlock, one key',
    sides(subjects, (s) => s.sequence(one)),
    options,
  );
  const plain = sides(subjects, (s) => s.sequence(keys));
  await compare('10,000 × lock and unlock, 10,000 keys', [...plain, wrapped, direct], options);
}

async function crowds(): Promise<void> {
  const options = { reference: REFERENCE, rounds: 15, drop: 5 };
  await compare(
    '10,000 tasks on one key',
    sides(crowded, (s) => s.crowd(WAITERS)),
    options,
  );
  const timeoutMs = (i: number): number => 10_000 + ((i * 7_919) % 20_000);
  await compare(
    'the same, each with a timeout',
    sides(timed, (s) => s.crowd(WAITERS, timeoutMs)),
    options,
  );
}

async function cold(): Promise<void> {
  const scores = await interleave(
    names.map((name) => ({ name, run: () => alone('cold', name) })),
    { reference: REFERENCE, rounds: 15, drop: 1 },
  );
  console.log(table('20,000 × lock and unlock in a fresh process, 10,000 keys', scores));
}

const WITHOUT_TIMEOUTS = ['async-sema', 'navigator.locks', 'tus MemoryLocker'];
/** A waiter of tus keeps the event loop busy: nothing beside it can be measured. */
const can = (name: string, kind: string): boolean =>
  kind === 'waiter with timeout' ? !WITHOUT_TIMEOUTS.includes(name) : kind !== 'waiter' || name !== 'tus MemoryLocker';

function heap(): void {
  const kinds = ['held', 'waiter', 'waiter with timeout', 'idle'];
  console.log(`| heap bytes each | ${kinds.join(' | ')} |\n|-|-:|-:|-:|-:|`);
  for (const name of names) {
    const bytes = kinds.map((kind) => {
      if (!can(name, kind)) return '–';
      return median(Array.from({ length: 3 }, () => alone(kind, name, '--expose-gc'))).toFixed(0);
    });
    console.log(`| ${name} | ${bytes.join(' | ')} |`);
  }
  console.log();
}

/** Processor time that 1,000 waiters with timeouts cost while nothing happens. */
function idleWaiters(): void {
  console.log('| 1,000 waiters, nothing happens | ms of processor time per second |\n|-|-:|');
  for (const name of names) {
    const spent = Array.from({ length: 5 }, () => alone('idle waiters', name));
    console.log(`| ${name} | ${median(spent).toFixed(1)} |`);
  }
  console.log();
}

/** What it costs to cancel 1,000 waiters in the middle of a long queue. */
async function cancelling(): Promise<void> {
  const among = (waiters: number): Side => {
    let controllers: AbortController[] = [];
    let done: Promise<unknown> = Promise.resolve();
    let holder: { release(): unknown } | undefined;
    return {
      ...side(`among ${waiters.toLocaleString('en')}`, () => {
        for (const controller of controllers) controller.abort();
      }),
      before: async () => {
        const locks = new KeyedMutex();
        holder = await locks.acquire('k');
        controllers = [];
        done = Promise.all(
          Array.from({ length: waiters }, (_, i) => {
            if (Math.abs(i - waiters / 2) > 500) return locks.acquire('k').then((lock) => lock.release());
            const controller = new AbortController();
            controllers.push(controller);
            return locks.acquire('k', { signal: controller.signal }).catch(() => undefined);
          }),
        );
      },
      after: async () => {
        holder?.release();
        await done;
      },
    };
  };
  await compare('1,000 waiters cancelled in mid-queue', [among(10_000), among(100_000)]);
}

await warm();
await crowds();
await cold();
heap();
idleWaiters();
await cancelling();
await import('./leases.ts');

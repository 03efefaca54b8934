// One contender in a process of its own: `node [--expose-gc] alone.ts <what> <contender>` prints one number.
import { contender } from './contenders.ts';

const COUNT = 10_000;
// An array of one element: its header, and its elements'.
const BOX_BYTES = 56;
const [what, name = ''] = process.argv.slice(2);
const subject = await contender(name);
const keys = Array.from({ length: COUNT }, (_, i) => `video-7/chunk-${i}`);

function heapBytes(): number {
  if (globalThis.gc === undefined) throw new Error('heap figures need node --expose-gc');
  for (let i = 0; i < 4; i++) globalThis.gc();
  return process.memoryUsage().heapUsed;
}

/** Bytes a piece that `make` adds, what its caller keeps included. */
async function bytesEach(make: (i: number) => unknown): Promise<number> {
  const kept: unknown[] = new Array(COUNT).fill(undefined);
  // One of each kind first, so that what is allocated once is not counted.
  await subject.sequence(keys);
  const before = heapBytes();
  for (let i = 0; i < COUNT; i++) kept[i] = await make(i);
  const bytes = (heapBytes() - before) / COUNT;
  if (kept.length !== COUNT) throw new Error('the promises must be alive until here');
  return bytes;
}

const settled = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 500));

async function cold(): Promise<number> {
  const before = process.cpuUsage();
  await subject.sequence(keys);
  await subject.sequence(keys);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

async function waiters(timeoutMs: number | undefined): Promise<number> {
  await subject.hold('k');
  subject.wait('k', timeoutMs).catch(() => undefined);
  // In a box, because what is kept is the promise and not what it will be.
  return (await bytesEach(() => [subject.wait('k', timeoutMs)])) - BOX_BYTES;
}

const measures: Record<string, () => Promise<number>> = {
  cold,
  held: () => bytesEach((i) => subject.hold(keys[i] as string)),
  waiter: () => waiters(undefined),
  'waiter with timeout': () => waiters(60_000),
  'idle waiters': async () => {
    await subject.hold('k');
    for (let i = 0; i < 1_000; i++) subject.wait('k', subject.name.includes(', no ') ? undefined : 60_000 + i);
    await settled();
    const before = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000 / 3;
  },
  idle: async () => {
    for (let i = 0; i < 20; i++) await subject.sequence(keys);
    const before = heapBytes();
    for (let i = 0; i < 5; i++) await subject.sequence(keys);
    return (heapBytes() - before) / COUNT;
  },
};
const measure = measures[what ?? ''];
if (measure === undefined)
  throw new RangeError(`what must be one of ${Object.keys(measures).join(', ')}, but is ${what}`);
console.log(await measure());
process.exit(0);

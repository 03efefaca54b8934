// Leases over a real Redis on 127.0.0.1:6379, against the locks that people use there. Part of `node main.ts`; alone:
// `node leases.ts`.
import { listens } from '../../../.ci/testing/listens.ts';
import { compare, interleave, median, type Contender as Side, score, table } from '../../base/bench/interleave.ts';
import { chunks, connect, type RedisContender, raw, redisSemaphore, redlockUniversal } from './redis-contenders.ts';

const PREFIX = `chunks-bench-${process.pid}`;
const makers = [raw, chunks, redisSemaphore, redlockUniversal];
const locking = makers.slice(1);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Commands that Redis has carried out, by name; those inside scripts count as the script's one. */
async function commands(): Promise<number> {
  const client = await connect();
  const stats = await client.info('commandstats');
  await client.quit();
  return [...stats.matchAll(/^cmdstat_(eval|evalsha|set|del|get|publish|script\|load)[^:]*:calls=(\d+)/gm)]
    .filter(([, name]) => name === 'eval' || name === 'evalsha' || name?.startsWith('script'))
    .reduce((sum, [, , calls]) => sum + Number(calls), 0);
}

async function uncontended(): Promise<void> {
  const subjects = await Promise.all(makers.map((make) => make()));
  const run = async (subject: RedisContender, round: number): Promise<void> => {
    for (let i = 0; i < 500; i++) await (await subject.enter(`${PREFIX}:${round}:${i % 50}`))();
  };
  let round = 0;
  const sides: Side[] = subjects.map((subject) => ({ name: subject.name, run: () => run(subject, round++) }));
  await compare('500 × lock and unlock, one after the other (Redis)', sides, { rounds: 11, drop: 3 });
  const counted = subjects[1] as RedisContender;
  const before = await commands();
  await run(counted, -1);
  console.log(`${counted.name}: ${((await commands()) - before) / 500} scripts a lock and unlock\n`);
  for (const subject of subjects) await subject.close();
}

/** From `release` in one process's client to the grant in another's, in ms. */
async function handOff(): Promise<void> {
  const sides: Side[] = [];
  const open: RedisContender[] = [];
  for (const make of locking) {
    const [mine, theirs] = [await make(), await make()];
    open.push(mine, theirs);
    const key = `${PREFIX}:hand-off:${mine.name}`;
    sides.push({
      name: mine.name,
      run: async () => {
        const leave = await mine.enter(key);
        const granted = theirs.enter(key).then((leaveToo) => ({ atMs: performance.now(), leaveToo }));
        await sleep(300 + Math.random() * 200);
        const releasedAtMs = performance.now();
        await leave();
        const { atMs, leaveToo } = await granted;
        await leaveToo();
        return atMs - releasedAtMs;
      },
    });
  }
  console.log(
    table('hand-off to a waiter of another process, ms (Redis)', await interleave(sides, { rounds: 15, drop: 2 })),
  );
  for (const subject of open) await subject.close();
}

/** What one waiter asks of Redis in a second. What a script does inside is not asked. */
async function waiting(): Promise<void> {
  console.log('| one waiter over Redis | calls a second |\n|-|-:|');
  for (const make of locking) {
    const [mine, theirs] = [await make(), await make()];
    const key = `${PREFIX}:waiting:${mine.name}`;
    const leave = await mine.enter(key);
    const granted = theirs.enter(key);
    await sleep(500);
    const monitor = await (await connect()).monitor();
    let calls = 0;
    monitor.on('monitor', (_time, args, source) => {
      if (source !== 'lua' && args.some((arg) => arg.includes(key))) calls++;
    });
    await sleep(5_000);
    console.log(`| ${mine.name} | ${(calls / 5).toFixed(1)} |`);
    monitor.disconnect();
    await leave();
    await (await granted)();
    await mine.close();
    await theirs.close();
  }
  console.log();
}

/** 100 tasks of one process on one key, each of which locks and unlocks it: hand-offs a second. */
async function crowd(): Promise<void> {
  const subjects = await Promise.all(locking.slice(0, 2).map((make) => make()));
  const values: number[][] = subjects.map(() => []);
  for (let round = 0; round < 7; round++) {
    for (const [index, subject] of subjects.entries()) {
      const key = `${PREFIX}:crowd:${subject.name}:${round}`;
      const startMs = performance.now();
      await Promise.all(Array.from({ length: 100 }, async () => (await subject.enter(key))()));
      values[index]?.push(100_000 / (performance.now() - startMs));
    }
  }
  const [ours = [], base = []] = values;
  console.log(
    table('100 waiters of one process on one key, hand-offs a second (Redis); higher is better', [
      score('@chunks/locks', ours, base),
      score('redis-semaphore', base, base),
    ]),
  );
  console.log(`medians: ${median(ours).toFixed(0)} and ${median(base).toFixed(0)}`);
  for (const subject of subjects) await subject.close();
}

if (await listens(6379)) {
  await uncontended();
  await handOff();
  await waiting();
  await crowd();
} else {
  console.log('LEFT OUT: leases over Redis, because nobody listens on 127.0.0.1:6379.');
}

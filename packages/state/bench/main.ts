// `pnpm bench state`: what updates cost on each store that this machine has, against what one writes by hand. Bursts on one
// hot key with a small state are the best case; arrivals, slow updaters and large states are measured too.
import { alone, type Burst, burst, tunedFor } from './bursts.ts';
import { openLoop } from './open-loop.ts';
import { processes } from './processes.ts';
import { grounds } from './subjects.ts';

const BURSTS: readonly Burst[] = [
  { title: '50 updaters × 5 on one key', updaters: 50, each: 5 },
  { title: '200 updates of one key at once', updaters: 200, each: 1 },
];
const HARD: readonly Burst[] = [
  { title: '50 updaters that take 5 ms each', updaters: 50, each: 1, slowMs: 5 },
  { title: '50 updates of a state of 1 MB', updaters: 50, each: 1, ballastBytes: 1_000_000 },
];

const ARRIVING = ['a store 1–3 ms away', 'Redis', 'Postgres'];

const only = process.argv.slice(2);
const { all, close } = await grounds();
for (const ground of all) {
  if (only.length > 0 && !only.includes(ground.title)) continue;
  const tuning = await tunedFor(ground, 100);
  for (const shape of BURSTS) await burst(ground, shape, tuning);
  await alone(ground, ground.title === 'memory' ? 2_000 : 50);
  await processes(ground, tuning);
  if (ground.title === 'memory') continue;
  for (const shape of HARD) {
    // NATS takes messages of 1 MB at most by default.
    if (ground.title !== 'NATS' || shape.ballastBytes === undefined) await burst(ground, shape, tuning);
  }
  if (!ARRIVING.includes(ground.title)) continue;
  for (const aSecond of [50, 1_000]) await openLoop(ground, aSecond, tuning);
}
await close();

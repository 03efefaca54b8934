// Four processes of fifty updaters each on one key.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Contender, interleave, table } from '../../base/bench/interleave.ts';
import { sharedNow } from '../test/processes/shared-clock.ts';
import type { Tuning } from './by-hand.ts';
import type { ProcessTask } from './process.ts';
import { expectCount, type Ground, LOOP, STATE } from './subjects.ts';

const PROCESSES = 4;
const UPDATERS = 50;
const script = fileURLToPath(new URL('process.ts', import.meta.url));

let runs = 0;

async function together(task: ProcessTask): Promise<number> {
  const children = Array.from({ length: PROCESSES }, () => fork(script, [JSON.stringify(task)]));
  const exits = children.map((child) => once(child, 'exit'));
  await Promise.all(children.map((child) => once(child, 'message')));
  const ends = children.map((child) => once(child, 'message'));
  // At an hour that all have heard of by then: messages take as long as the work.
  const beginMs = sharedNow() + 50;
  for (const child of children) child.send(beginMs);
  const tookMs = Math.max(...(await Promise.all(ends)).map(([endMs]) => endMs as number)) - beginMs;
  await Promise.all(exits);
  return tookMs;
}

/** Wall time of all of them. */
export async function processes({ title, store, address }: Ground, tuning: Tuning): Promise<void> {
  if (address === undefined) return;
  const contender = (name: string, way: ProcessTask['way']): Contender => {
    let key = '';
    return {
      name,
      before: () => {
        key = `processes-${++runs}`;
      },
      run: () => together({ address, key, way, updaters: UPDATERS, tuning }),
      after: () => expectCount(store, key, PROCESSES * UPDATERS),
    };
  };
  const contenders = [contender(STATE, 'state'), contender(LOOP, 'loop')];
  const scores = await interleave(contenders, { rounds: 5, drop: 1 });
  console.log(table(`${PROCESSES} processes × ${UPDATERS} updates of one key, ${title}`, scores));
}

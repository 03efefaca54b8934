import { VirtualClock } from '@chunks/base/testing';
import { expect, it } from 'vitest';
import { Agenda } from '../../src/agenda.ts';
import { Alarm } from '../../src/lease/alarm.ts';

interface Bench {
  clock: VirtualClock;
  rung: string[];
  alarm(name: string, then?: () => void): Alarm;
}

function bench(): Bench {
  const clock = new VirtualClock(0);
  const rung: string[] = [];
  const agenda = new Agenda(clock, () => {
    for (const due of agenda.takeDue(clock.now())) due.late(clock.now());
    agenda.resume(Number.POSITIVE_INFINITY, clock.now());
  });
  const alarm = (name: string, then?: () => void): Alarm =>
    new Alarm(agenda, (nowMs) => {
      rung.push(`${name} at ${nowMs}`);
      then?.();
    });
  return { clock, rung, alarm };
}

it('rings once, at the time that was set last, and all on one timer', async () => {
  const { clock, rung, alarm } = bench();
  const [a, b] = [alarm('a'), alarm('b')];
  a.set(5, 0);
  a.set(20, 0);
  b.by(30, 0);
  b.by(40, 0);
  b.by(10, 0);
  expect(clock.pending).toBe(1);
  await clock.advance(100);
  expect(rung).toEqual(['b at 10', 'a at 20']);
  a.set(110, 100);
  a.clear();
  b.set(Number.POSITIVE_INFINITY, 100);
  await clock.advance(100);
  expect(rung).toHaveLength(2);
  expect(clock.pending).toBe(0);
});

it('does not ring when what rang just before has moved it or taken it back', async () => {
  const { clock, rung, alarm } = bench();
  const moved = alarm('moved');
  const takenBack = alarm('taken back');
  const first = alarm('first', () => {
    moved.set(20, 15);
    takenBack.clear();
  });
  first.set(10, 0);
  moved.set(11, 0);
  takenBack.set(12, 0);
  // All three are due when the timer comes late.
  clock.jump(15);
  await clock.advance(0);
  expect(rung).toEqual(['first at 15']);
  await clock.advance(100);
  expect(rung).toEqual(['first at 15', 'moved at 20']);
});

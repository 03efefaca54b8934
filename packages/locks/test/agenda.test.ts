import { settle, VirtualClock } from '@chunks/base/testing';
import { describe, expect, it } from 'vitest';
import { Agenda, type Due } from '../src/agenda.ts';

const note = (log: string[], name: string): Due => ({
  place: -1,
  leave: () => undefined,
  late: () => void log.push(name),
});

const start = (): { clock: VirtualClock; agenda: Agenda; log: string[]; startMs: number } => {
  const clock = new VirtualClock();
  const log: string[] = [];
  const agenda: Agenda = new Agenda(clock, () => {
    const nowMs = clock.now();
    for (const due of agenda.takeDue(nowMs)) due.late(nowMs);
    agenda.resume(Number.POSITIVE_INFINITY, nowMs);
  });
  return { clock, agenda, log, startMs: clock.now() };
};

describe('Agenda', () => {
  it('serves a thousand appointments with one timer, each at its time', async () => {
    const { clock, agenda, log, startMs } = start();
    for (let i = 0; i < 1000; i++)
      agenda.add(note(log, `${(i * 7919) % 1000}`), startMs + ((i * 7919) % 1000), startMs);
    expect(clock.pending).toBe(1);
    await clock.advance(499);
    expect(log).toEqual(Array.from({ length: 500 }, (_, i) => `${i}`));
    expect(clock.pending).toBe(1);
    await clock.advance(500);
    expect(log).toHaveLength(1000);
    expect(clock.pending).toBe(0);
  });

  it('wakes for nothing when what it was set for has gone, and for the next one at its time', async () => {
    const { clock, agenda, log, startMs } = start();
    const gone = note(log, 'gone');
    agenda.add(gone, startMs + 10, startMs);
    agenda.add(note(log, 'next'), startMs + 20, startMs);
    agenda.remove(gone);
    await clock.advance(19);
    expect(log).toEqual([]);
    await clock.advance(1);
    expect(log).toEqual(['next']);
  });

  it('pauses without a timer of its own, and leaves nothing behind when the signal ends the pause', async () => {
    const { clock, agenda } = start();
    const controller = new AbortController();
    const ends: string[] = [];
    void agenda.pause(10, undefined).then(() => ends.push('first'));
    agenda.pause(20, controller.signal).catch((reason) => ends.push(reason));
    expect(clock.pending).toBe(1);
    await clock.advance(10);
    expect(ends).toEqual(['first']);
    controller.abort('enough');
    await settle();
    expect(ends).toEqual(['first', 'enough']);
    await clock.advance(10);
    expect(clock.pending).toBe(0);
  });
});

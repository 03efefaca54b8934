import { type Deferred, deferred } from '@chunks/base';
import { settle, VirtualClock } from '@chunks/base/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type WakeEvents, WakeHub, type WakeLine } from '../src/wake-hub.ts';

/** A store's side of one line. */
class FakeLine implements WakeLine {
  readonly events: WakeEvents;
  readonly heard = new Set<string>();
  listens = 0;
  isClosed = false;
  /** When set, `listen` waits for it. */
  hold: Deferred<void> | undefined;

  constructor(events: WakeEvents) {
    this.events = events;
  }

  async listen(channel: string): Promise<void> {
    this.listens++;
    await this.hold?.promise;
    this.heard.add(channel);
  }

  unlisten(channel: string): void {
    this.heard.delete(channel);
  }

  close(): void {
    this.isClosed = true;
  }

  tell(channel: string): void {
    if (this.heard.has(channel)) this.events.wake(channel);
  }
}

function setUp() {
  const clock = new VirtualClock();
  const lines: FakeLine[] = [];
  const failures: Error[] = [];
  const hub = new WakeHub(async (events) => {
    const failure = failures.shift();
    if (failure) throw failure;
    const line = new FakeLine(events);
    lines.push(line);
    return line;
  }, clock);
  const open = (): FakeLine[] => lines.filter(({ isClosed }) => !isClosed);
  const line = (): FakeLine => {
    const [one, ...others] = open();
    expect(others).toEqual([]);
    if (one === undefined) throw new Error('no line is open');
    return one;
  };
  const watch = async (channel: string) => {
    const watcher = { wakes: 0, stop: (): void => undefined };
    watcher.stop = await hub.watch(channel, () => {
      watcher.wakes++;
    });
    return watcher;
  };
  return { clock, lines, failures, hub, open, line, watch };
}

describe('one line for all channels', () => {
  it('is opened by the first watch, and each channel listened to once', async () => {
    const { lines, line, watch } = setUp();
    expect(lines).toEqual([]);
    const [a, b, c] = await Promise.all([watch('x'), watch('x'), watch('y')]);
    expect([lines.length, line().listens]).toEqual([1, 2]);
    line().tell('x');
    expect([a?.wakes, b?.wakes, c?.wakes]).toEqual([1, 1, 0]);
    line().tell('y');
    expect([a?.wakes, b?.wakes, c?.wakes]).toEqual([1, 1, 1]);
  });

  it('tells one function twice when it watches twice', async () => {
    const { hub, line } = setUp();
    let wakes = 0;
    const wake = (): void => {
      wakes++;
    };
    const stop = await hub.watch('x', wake);
    await hub.watch('x', wake);
    line().tell('x');
    expect(wakes).toBe(2);
    stop();
    stop();
    line().tell('x');
    expect(wakes).toBe(3);
  });

  it('outlives the last watch by a second, so that watching again costs nothing', async () => {
    const { clock, lines, open, line, watch } = setUp();
    (await watch('x')).stop();
    await clock.advance(999);
    const again = await watch('x');
    expect([lines.length, line().listens]).toEqual([1, 1]);
    await clock.advance(10_000);
    expect(open().length).toBe(1);
    again.stop();
    await clock.advance(1_000);
    expect([open().length, clock.pending]).toEqual([0, 0]);
    await watch('x');
    expect(lines.length).toBe(2);
  });

  it('no longer listens to what nobody watches, while others watch', async () => {
    const { clock, hub, line, watch } = setUp();
    const [gone] = [await watch('x'), await watch('y')];
    expect([hub.isWatched('x'), hub.isWatched('y'), hub.isWatched('z')]).toEqual([true, true, false]);
    gone.stop();
    expect(hub.isWatched('x')).toBe(false);
    await clock.advance(1_000);
    expect([...line().heard]).toEqual(['y']);
    const back = await watch('x');
    line().tell('x');
    expect([gone.wakes, back.wakes]).toEqual([0, 1]);
  });

  it('lets a woken watcher watch again at once, without waking it for the same release', async () => {
    const { hub, line } = setUp();
    let wakes = 0;
    const again = (): void => {
      wakes++;
      void hub.watch('x', again);
    };
    await hub.watch('x', again);
    line().tell('x');
    await settle();
    expect(wakes).toBe(1);
  });
});

describe('a line that breaks', () => {
  it('wakes everybody once, is closed, and is replaced by the next watch, for all', async () => {
    const { lines, line, watch } = setUp();
    const [a, b] = [await watch('x'), await watch('y')];
    const [first] = lines;
    first?.events.lost(new Error('cut'));
    first?.events.lost(new Error('cut again'));
    await settle();
    expect([a.wakes, b.wakes, first?.isClosed]).toEqual([1, 1, true]);
    first?.events.wake('x');
    expect(a.wakes).toBe(1);
    const c = await watch('z');
    await settle();
    // Whatever was released in between, nobody has told.
    expect([a.wakes, b.wakes, c.wakes]).toEqual([2, 2, 0]);
    for (const channel of ['x', 'y', 'z']) line().tell(channel);
    expect([a.wakes, b.wakes, c.wakes]).toEqual([3, 3, 1]);
  });

  it('is replaced by heal too, once, and only for those who watch', async () => {
    const { lines, failures, hub, line, watch } = setUp();
    hub.heal();
    expect(lines).toEqual([]);
    const a = await watch('x');
    hub.heal();
    expect(lines.length).toBe(1);
    line().events.lost(new Error('cut'));
    failures.push(new Error('still down'));
    hub.heal();
    await settle();
    expect([lines.length, a.wakes]).toEqual([1, 1]);
    hub.heal();
    hub.heal();
    await settle();
    expect([lines.length, a.wakes]).toEqual([2, 2]);
    line().tell('x');
    expect(a.wakes).toBe(3);
  });

  it('rejects who waits for it, with its error, though the client never answers', async () => {
    const { lines, hub, line, watch } = setUp();
    await watch('x');
    line().hold = deferred();
    const waiting = hub.watch('y', () => undefined);
    await settle();
    lines[0]?.events.lost(new Error('cut'));
    await expect(waiting).rejects.toThrow('cut');
    expect(hub.isWatched('y')).toBe(false);
  });

  it('is tried again by the next watch when it could not be opened', async () => {
    const { failures, clock, watch, line } = setUp();
    failures.push(new Error('down'), new Error('still down'));
    await expect(watch('x')).rejects.toThrow('down');
    await expect(Promise.all([watch('x'), watch('x')])).rejects.toThrow('still down');
    const a = await watch('x');
    line().tell('x');
    expect(a.wakes).toBe(1);
    a.stop();
    await clock.advance(1_000);
    expect(clock.pending).toBe(0);
  });

  it('is closed when it comes about after it was given up', async () => {
    const opened = deferred<WakeLine>();
    const hub = new WakeHub(() => opened.promise, new VirtualClock());
    const waiting = hub.watch('x', () => undefined);
    await settle();
    const closing = hub.close();
    await expect(waiting).rejects.toThrow('nobody watches any more');
    await closing;
    const late = new FakeLine({ wake: () => undefined, lost: () => undefined });
    opened.resolve(late);
    await settle();
    expect(late.isClosed).toBe(true);
  });

  it('fails only the watch whose channel it refuses, and tries that again', async () => {
    const { line, watch } = setUp();
    const a = await watch('x');
    line().hold = deferred();
    const refused = watch('y');
    await settle();
    line().hold?.reject(new Error('no permission'));
    await expect(refused).rejects.toThrow('no permission');
    line().hold = undefined;
    const b = await watch('y');
    for (const channel of ['x', 'y']) line().tell(channel);
    expect([a.wakes, b.wakes]).toEqual([1, 1]);
  });
});

it('close ends all watches and the line, and leaves no timer; stopping afterwards does nothing', async () => {
  const { clock, hub, lines, open, watch } = setUp();
  const [a, b] = [await watch('x'), await watch('y')];
  a.stop();
  await hub.close();
  await hub.close();
  expect([open().length, clock.pending, hub.isWatched('y')]).toEqual([0, 0, false]);
  b.stop();
  lines[0]?.events.wake('y');
  expect([b.wakes, clock.pending]).toEqual([0, 0]);
  const c = await watch('y');
  b.stop();
  expect([open().length, c.wakes, clock.pending]).toEqual([1, 0, 0]);
});

it('close waits for a second at most for a line that does not answer, and leaves no timer', async () => {
  const clock = new VirtualClock();
  const mute: WakeLine = {
    listen: () => undefined,
    unlisten: () => undefined,
    close: () => new Promise(() => undefined),
  };
  const hub = new WakeHub(() => mute, clock);
  await hub.watch('x', () => undefined);
  let isClosed = false;
  const closing = hub.close().then(() => {
    isClosed = true;
  });
  await clock.advance(999);
  expect(isClosed).toBe(false);
  await clock.advance(1);
  await closing;
  expect(clock.pending).toBe(0);
});

describe('as a model', () => {
  interface Watcher {
    readonly channel: string;
    wakes: number;
    stop(): void;
  }
  interface Model {
    readonly watchers: Watcher[];
  }
  type Real = ReturnType<typeof setUp>;

  /** Holds after each step: never two lines; while one is up, it hears all that is watched. */
  const check = ({ watchers }: Model, { open, hub }: Real): void => {
    expect(open().length).toBeLessThanOrEqual(1);
    for (const { channel } of watchers) {
      expect(hub.isWatched(channel)).toBe(true);
      for (const line of open()) expect([...line.heard]).toContain(channel);
    }
  };

  const command = (name: string, run: (model: Model, real: Real) => Promise<void>): fc.AsyncCommand<Model, Real> => ({
    check: () => true,
    async run(model, real) {
      await run(model, real);
      await settle();
      check(model, real);
    },
    toString: () => name,
  });

  const channels = fc.constantFrom('x', 'y', 'z');
  const commands = [
    channels.map((channel) =>
      command(`watch ${channel}`, async ({ watchers }, { hub }) => {
        const watcher: Watcher = { channel, wakes: 0, stop: () => undefined };
        watcher.stop = await hub.watch(channel, () => {
          watcher.wakes++;
        });
        expect(watcher.wakes).toBe(0);
        watchers.push(watcher);
      }),
    ),
    fc.nat(5).map((which) =>
      command(`stop ${which}`, async ({ watchers }) => {
        const [gone] = watchers.splice(which, 1);
        gone?.stop();
      }),
    ),
    channels.map((channel) =>
      command(`release ${channel}`, async ({ watchers }, { open }) => {
        const before = watchers.map(({ wakes }) => wakes);
        for (const line of open()) line.tell(channel);
        const expected = watchers.map((one, i) => (before[i] ?? 0) + (one.channel === channel ? open().length : 0));
        expect(watchers.map(({ wakes }) => wakes)).toEqual(expected);
      }),
    ),
    fc.constant(
      command('break', async ({ watchers }, { open }) => {
        const [line] = open();
        const before = watchers.map(({ wakes }) => wakes);
        line?.events.lost(new Error('cut'));
        await settle();
        expect(watchers.map(({ wakes }) => wakes)).toEqual(before.map((wakes) => wakes + (line ? 1 : 0)));
        expect(open()).toEqual([]);
      }),
    ),
    fc.constant(
      command('heal', async ({ watchers }, { hub, open }) => {
        hub.heal();
        await settle();
        if (watchers.length > 0) expect(open().length).toBe(1);
      }),
    ),
    fc.nat(2_000).map((ms) =>
      command(`${ms} ms`, async ({ watchers }, { clock, open }) => {
        await clock.advance(ms);
        if (watchers.length === 0 && ms >= 1_000) expect([open().length, clock.pending]).toEqual([0, 0]);
      }),
    ),
    fc.constant(
      command('close', async (model, { hub, open, clock }) => {
        await hub.close();
        model.watchers.length = 0;
        expect([open().length, clock.pending]).toEqual([0, 0]);
      }),
    ),
  ];

  it('hears what is watched, wakes who watches, and goes when nobody does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.commands(commands, { maxCommands: 40 }), async (sequence) => {
        const real = setUp();
        await fc.asyncModelRun(() => ({ model: { watchers: [] }, real }), sequence);
        await real.hub.close();
        await settle();
        expect([real.open().length, real.clock.pending]).toEqual([0, 0]);
      }),
      { numRuns: 300 },
    );
  });
});

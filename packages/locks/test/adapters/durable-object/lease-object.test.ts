import { VirtualClock } from '@chunks/base/testing';
import { describe, expect, test } from 'vitest';
import { LeaseObject, type LeaseObjectState } from '../../../src/adapters/durable-object/lease-object.ts';

const START_MS = 1_700_000_000_000;

/** Storage and alarm of one object, which outlive it; and what was done to them. */
class Host {
  readonly clock: VirtualClock = new VirtualClock(START_MS);
  readonly done: string[] = [];
  readonly sent: string[] = [];
  /** What fails, from now on. */
  broken: 'get' | 'put' | 'setAlarm' | 'deleteAll' | undefined;
  stored: unknown;
  alarmMs: number | null = null;
  object: LeaseObject = this.restart();

  restart(): LeaseObject {
    const note = async (what: NonNullable<Host['broken']>): Promise<void> => {
      this.done.push(what);
      if (this.broken === what) throw new Error(`${what} failed`);
    };
    const socket = (name: string, readyState: number) => ({
      readyState,
      send: () => void this.sent.push(name),
      close: () => void this.sent.push(`${name} closed`),
    });
    const state: LeaseObjectState = {
      storage: {
        get: async () => {
          await note('get');
          return structuredClone(this.stored);
        },
        put: async (_, value) => {
          const content = structuredClone(value);
          await note('put');
          this.stored = content;
        },
        deleteAll: async () => {
          await note('deleteAll');
          this.stored = undefined;
        },
        getAlarm: async () => this.alarmMs,
        setAlarm: async (atMs) => {
          await note('setAlarm');
          this.alarmMs = atMs;
        },
      },
      acceptWebSocket: () => undefined,
      getWebSockets: () => [socket('open', 1), socket('closing', 2)],
    };
    this.object = new LeaseObject(state, undefined, { clock: this.clock });
    return this.object;
  }

  async ask(call: unknown): Promise<unknown> {
    const body = typeof call === 'string' ? call : JSON.stringify(call);
    const response = await this.object.fetch(new Request('https://lease.object/', { method: 'POST', body }));
    return response.status === 200 ? (await response.json()).answer : `${response.status} ${await response.text()}`;
  }

  acquire(holder: string, leaseMs = 60_000): Promise<unknown> {
    return this.ask({ call: 'acquire', holder, leaseMs });
  }

  /** As the runtime does it: the alarm is gone once it rings, and comes again when it fails. */
  async ring(): Promise<void> {
    const atMs = this.alarmMs;
    this.alarmMs = null;
    try {
      await this.object.alarm();
    } catch (error) {
      this.alarmMs = atMs;
      throw error;
    }
  }

  doing(): string[] {
    return this.done.splice(0);
  }
}

describe('LeaseObject', () => {
  test('writes once a call, and moves its alarm only forward', async () => {
    const host = new Host();
    const answer = await host.acquire('a');
    expect(answer).toEqual({ token: START_MS });
    expect(host.doing()).toEqual(['get', 'put', 'setAlarm']);
    expect(await host.ask({ call: 'renew', holder: 'a', token: START_MS, leaseMs: 90_000 })).toBe(true);
    expect(await host.ask({ call: 'inspect' })).toMatchObject({ holder: 'a', expiresInMs: 90_000 });
    expect(host.doing()).toEqual(['put']);
    expect(host.alarmMs).toBe(START_MS + 86_400_000);
    expect(await host.acquire('b')).toMatchObject({ busy: true, queued: true });
    expect(host.doing()).toEqual(['put', 'setAlarm']);
    expect(host.alarmMs).toBe(START_MS + 90_000);
    await host.clock.advance(4_999);
    await host.acquire('b');
    expect(host.doing()).toEqual([]);
    expect(host.sent).toEqual([]);
    expect(await host.ask({ call: 'release', holder: 'a', token: START_MS })).toBe(true);
    expect(host.doing()).toEqual(['put']);
    expect(host.sent).toEqual(['open']);
  });

  test('asking about a key that nobody ever had stores nothing', async () => {
    const host = new Host();
    expect(await host.ask({ call: 'inspect' })).toBe(undefined);
    expect(await host.ask({ call: 'renew', holder: 'a', token: 1, leaseMs: 1 })).toBe(false);
    expect(await host.ask({ call: 'release', holder: 'a', token: 1 })).toBe(false);
    expect(host.doing()).toEqual(['get']);
    expect(host.alarmMs).toBe(null);
  });

  test('its alarm hands on, and sets the next one', async () => {
    const host = new Host();
    await host.acquire('a', 5_000);
    for (const holder of ['b', 'c']) await host.acquire(holder);
    await host.clock.advance(5_000);
    await host.ring();
    expect(await host.ask({ call: 'inspect' })).toMatchObject({ holder: 'b', expiresInMs: 2_000 });
    expect(host.sent).toEqual(['open']);
    expect(host.alarmMs).toBe(START_MS + 7_000);
    await host.clock.advance(2_000);
    await host.ring();
    expect(await host.ask({ call: 'inspect' })).toMatchObject({ holder: 'c' });
    expect(host.alarmMs).toBe(START_MS + 7_000 + 86_400_000);
  });

  test.each(['get', 'put', 'setAlarm'] as const)(
    'an alarm whose %s fails is one that the runtime tries again',
    async (what) => {
      const host = new Host();
      await host.acquire('a', 5_000);
      await host.acquire('b');
      await host.clock.advance(5_000);
      if (what === 'get') host.restart();
      host.broken = what;
      await expect(host.ring()).rejects.toThrow(`${what} failed`);
      expect(host.sent).toEqual([]);
      host.broken = undefined;
      await host.ring();
      expect(await host.ask({ call: 'inspect' })).toMatchObject({ holder: 'b' });
      expect(host.alarmMs).toBe(START_MS + 5_000 + 86_400_000);
    },
  );

  test('a record that cannot be removed stays whole', async () => {
    const host = new Host();
    await host.acquire('a', 1_000);
    await host.clock.advance(86_400_000);
    host.broken = 'deleteAll';
    await expect(host.ring()).rejects.toThrow('deleteAll failed');
    host.broken = undefined;
    await host.ring();
    expect([host.stored, host.alarmMs]).toEqual([undefined, null]);
    expect(await host.acquire('b')).toEqual({ token: START_MS + 86_400_000 });
  });

  test('what could not be stored is not believed afterwards', async () => {
    const host = new Host();
    host.broken = 'get';
    await expect(host.acquire('a')).rejects.toThrow('get failed');
    host.broken = 'put';
    await expect(host.acquire('a')).rejects.toThrow('put failed');
    host.broken = undefined;
    expect(await host.ask({ call: 'inspect' })).toBe(undefined);
    expect(await host.acquire('b')).toEqual({ token: START_MS });
    host.broken = 'put';
    await expect(host.ask({ call: 'release', holder: 'b', token: START_MS })).rejects.toThrow('put failed');
    expect(host.sent).toEqual([]);
    host.broken = undefined;
    expect(await host.acquire('c')).toMatchObject({ busy: true, holder: 'b' });
  });

  test('a restart at any time changes nothing', async () => {
    const [host, other] = [new Host(), new Host()];
    const calls = [
      ...['a', 'b', 'c', 'b'].map((holder) => ({ call: 'acquire', holder, leaseMs: 60_000 })),
      { call: 'renew', holder: 'a', token: START_MS, leaseMs: 90_000 },
      { call: 'release', holder: 'b', token: 0 },
      { call: 'release', holder: 'a', token: START_MS },
      { call: 'inspect' },
      { call: 'acquire', holder: 'c', leaseMs: 1_000 },
      { call: 'release', holder: 'c', token: START_MS + 1 },
      { call: 'acquire', holder: 'd', leaseMs: 1_000 },
    ];
    for (const call of calls) {
      other.restart();
      expect(await other.ask(call)).toEqual(await host.ask(call));
    }
    expect(other.stored).toEqual(host.stored);
    expect(other.alarmMs).toBe(host.alarmMs);
  });

  test.each([
    ['', '400'],
    ['not JSON', '400'],
    ['null', '400 RangeError: call must be one of "acquire", "renew", "release", "inspect", but is undefined'],
    [{ call: 'steal' }, '400 RangeError: call must be one of'],
    [{ call: 'acquire', leaseMs: 1 }, '400 TypeError: holder must be a string, but is undefined'],
    [{ call: 'acquire', holder: '', leaseMs: 1 }, '400 RangeError: holder must be a non-empty string'],
    [{ call: 'acquire', holder: 'a', leaseMs: null }, '400 TypeError: leaseMs must be a number, but is null'],
    [{ call: 'renew', holder: 'a', token: 1 }, '400 TypeError: leaseMs must be a number, but is undefined'],
    [{ call: 'release', holder: 'a', token: 1.5 }, '400 RangeError: token must be an integer ≥ 0, but is 1.5'],
  ])('%j is no call', async (call, answer) => {
    const host = new Host();
    expect(await host.ask(call)).toContain(answer);
    expect(host.doing()).toEqual([]);
  });

  test('closes its end of a socket that the other end has closed, unless the runtime did', () => {
    const host = new Host();
    for (const [readyState, closed] of [
      [1, ['closed']],
      [3, []],
    ] as const) {
      const done: string[] = [];
      host.object.webSocketClose({ readyState, send: () => undefined, close: () => void done.push('closed') });
      expect(done).toEqual(closed);
    }
  });
});

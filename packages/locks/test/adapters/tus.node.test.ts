import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { VirtualClock } from '@chunks/base/testing';
import { KeyedMutex, type Locker } from '@chunks/locks';
import { leaseLocker, memoryLeases } from '@chunks/locks/lease';
import { tusLocker } from '@chunks/locks/tus';
import { MemoryLocker, type Locker as ServersLocker } from '@tus/server';
import { afterEach, describe, expect, it } from 'vitest';
import { TusServer } from './tus/server.ts';

const servers: TusServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function start(locker: ServersLocker, options?: Parameters<typeof TusServer.start>[1]): Promise<TusServer> {
  const server = await TusServer.start(locker, options);
  servers.push(server);
  return server;
}

const until = async (holds: () => boolean): Promise<void> => {
  for (let i = 0; !holds(); i++) {
    if (i > 2_000) expect.fail(`never: ${holds}`);
    await setTimeout(5);
  }
};

const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 31) % 251));

describe('a real server over real files', () => {
  const lockers: [string, () => Locker][] = [
    ['a KeyedMutex', () => new KeyedMutex()],
    ['a lease locker', () => leaseLocker(memoryLeases())],
  ];

  for (const [name, make] of lockers) {
    it(`over ${name}: takes uploads, and leaves no lock behind`, async () => {
      const locker = make();
      const server = await start(tusLocker(locker));
      const urls = await Promise.all([1, 2, 3].map(() => server.upload(bytes, { chunkSize: 30_000 })));
      expect(urls.map((url) => server.read(url.split('/').pop() as string).equals(bytes))).toEqual([true, true, true]);
      expect(server.finished).toBe(3);
      expect(await locker.isLocked(urls[0]?.split('/').pop() as string)).toBe(false);
      expect(locker.stats()).toMatchObject({ activeLocks: 0, waiting: 0, timedOut: 0 });
    });

    it(`over ${name}: PATCHes of one upload at once write one after the other`, async () => {
      // Time enough for a body to come in before its request is cut off.
      const server = await start(tusLocker(make()), { lockDrainTimeout: 20_000 });
      const id = await server.create(bytes.length);
      const patches = Array.from({ length: 8 }, () => server.patch(id, 0, bytes.length));
      for (const patch of patches) patch.end(bytes);
      const statuses = (await Promise.all(patches.map(({ answer }) => answer))).map(({ status }) => status);
      // Who comes second finds the offset moved on, or has been asked to end before it began to write.
      expect(statuses.filter((status) => status === 204)).toHaveLength(1);
      expect(statuses.filter((status) => ![204, 400, 409].includes(status))).toEqual([]);
      expect([server.mostWriting, server.finished]).toEqual([1, 1]);
      expect(server.read(id).equals(bytes)).toBe(true);
    });

    it(`over ${name}: a client that resumes ends its own stalled request and goes on from its offset`, async () => {
      const server = await start(tusLocker(make()));
      const id = await server.create(bytes.length);
      const stalled = server.patch(id, 0, bytes.length);
      stalled.write(bytes.subarray(0, 50_000));
      await until(() => server.writing === 1 && server.read(id).length === 50_000);
      const offsets: number[] = [];
      const url = await server.upload(bytes, {
        uploadUrl: `${server.uploads}/${id}`,
        onProgress: (sent) => offsets.push(sent),
      });
      expect(url).toBe(`${server.uploads}/${id}`);
      expect(offsets[0]).toBe(50_000);
      expect(server.read(id).equals(bytes)).toBe(true);
      expect([server.mostWriting, server.finished]).toEqual([1, 1]);
      // 204 with the offset it came to: what it had sent was kept.
      expect(await stalled.answer).toMatchObject({ status: 204, offset: 50_000 });
    });
  }

  it('without a lock the same requests do write at once, so the above has shown something', async () => {
    const none = { lock: async () => undefined, unlock: async () => undefined };
    const server = await start({ newLock: () => none });
    const id = await server.create(bytes.length);
    const patches = Array.from({ length: 8 }, () => server.patch(id, 0, bytes.length));
    for (const patch of patches) patch.write(bytes.subarray(0, 10));
    await until(() => server.writing > 1);
    for (const patch of patches) patch.end(bytes.subarray(10));
    await Promise.all(patches.map(({ answer }) => answer));
    expect(server.mostWriting).toBeGreaterThan(1);
  });

  it('a request that is gone while it waits leaves the queue at once, and those behind it move up', async () => {
    const mutex = new KeyedMutex();
    const server = await start(tusLocker(mutex), { lockDrainTimeout: 60_000 });
    const id = await server.create(bytes.length);
    const stalled = server.patch(id, 0, bytes.length);
    stalled.write(bytes.subarray(0, 50_000));
    await until(() => server.writing === 1);
    const gone = server.patch(id, 0, bytes.length);
    gone.write(bytes.subarray(0, 10));
    await until(() => mutex.stats().waiting === 1);
    const head = server.head(id);
    await until(() => mutex.stats().waiting === 2);
    gone.cut();
    await until(() => mutex.stats().waiting === 1);
    expect(mutex.stats()).toMatchObject({ activeLocks: 1, aborted: 1, timedOut: 0 });
    stalled.end(bytes.subarray(50_000));
    expect((await stalled.answer).status).toBe(204);
    expect(await head).toMatchObject({ status: 200, offset: bytes.length });
    expect(mutex.stats()).toMatchObject({ activeLocks: 0, waiting: 0, aborted: 1, timedOut: 0 });
  });

  describe('a request that waits too long', () => {
    const stall = async (locker: ServersLocker): Promise<{ server: TusServer; id: string; end(): Promise<void> }> => {
      const server = await start(locker, { lockDrainTimeout: 60_000 });
      const id = await server.create(bytes.length);
      const stalled = server.patch(id, 0, bytes.length);
      stalled.write(bytes.subarray(0, 50_000));
      await until(() => server.writing === 1);
      const end = async (): Promise<void> => {
        stalled.cut();
        await until(() => server.writing === 0);
      };
      return { server, id, end };
    };

    it('is told to try again later: the client resumes its upload', async () => {
      const mutex = new KeyedMutex();
      const { server, id, end } = await stall(tusLocker(mutex, { timeoutMs: 30 }));
      const patch = server.patch(id, 0, 1);
      patch.end(bytes.subarray(0, 1));
      expect(await patch.answer).toMatchObject({
        status: 423,
        body: 'The upload could not be locked: try again later\n',
      });
      const done = server.upload(bytes, { uploadUrl: `${server.uploads}/${id}` });
      await until(() => mutex.stats().timedOut > 2);
      await end();
      expect(await done).toBe(`${server.uploads}/${id}`);
      expect(server.read(id).equals(bytes)).toBe(true);
    });

    it("by the server's own MemoryLocker it is told that the server failed: the client begins anew", async () => {
      const { server, id, end } = await stall(new MemoryLocker({ acquireLockTimeout: 30 }));
      expect((await server.head(id)).status).toBe(500);
      const url = await server.upload(bytes, { uploadUrl: `${server.uploads}/${id}` });
      expect(url).not.toBe(`${server.uploads}/${id}`);
      await end();
    });
  });

  describe('two processes that share leases', () => {
    const both = async (options?: Parameters<typeof tusLocker>[1]): Promise<[TusServer, TusServer, Locker]> => {
      const leases = memoryLeases();
      const [one, other] = [leaseLocker(leases), leaseLocker(leases)];
      const first = await start(tusLocker(one, options));
      return [first, await start(tusLocker(other, options), { folder: first.folder }), other];
    };

    it('take turns; the other one cannot be asked to end, so who waits for it is told to try again', async () => {
      const [first, second] = await both({ timeoutMs: 500 });
      const id = await first.create(bytes.length);
      const stalled = first.patch(id, 0, bytes.length);
      stalled.write(bytes.subarray(0, 50_000));
      await until(() => first.writing === 1);
      expect((await second.head(id)).status).toBe(423);
      expect(first.writing).toBe(1);
      stalled.end(bytes.subarray(50_000));
      expect((await stalled.answer).status).toBe(204);
      expect(await second.head(id)).toMatchObject({ status: 200, offset: bytes.length });
    });

    it('go on after maxHoldMs; the request that has lost its lock is ended, and not told to have succeeded', async () => {
      const [first, second] = await both({ maxHoldMs: 2_000 });
      const id = await first.create(bytes.length);
      const stalled = first.patch(id, 0, bytes.length);
      stalled.write(bytes.subarray(0, 50_000));
      await until(() => first.mostWriting === 1);
      const url = await second.upload(bytes, { uploadUrl: `${second.uploads}/${id}` });
      expect(url).toBe(`${second.uploads}/${id}`);
      await until(() => first.writing === 0);
      expect((await stalled.answer).status).toBe(423);
      expect(second.read(id).equals(bytes)).toBe(true);
      expect([first.finished, second.finished]).toEqual([0, 1]);
    });
  });
});

describe('case by case', () => {
  const never = new AbortController().signal;
  const nothing = (): void => undefined;
  const outcome = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'done',
      (error) => String(error?.status_code ?? error),
    );
  /** Open is what is so for a while: nothing else can be waited for. */
  const outcomeSoon = (promise: Promise<unknown>): Promise<string> =>
    Promise.race([outcome(promise), setTimeout(20, 'open')]);

  for (const [name, ours, make] of [
    ['tusLocker', true, (ms?: number) => tusLocker(new KeyedMutex(), { timeoutMs: ms })],
    ['MemoryLocker', false, (ms = 30_000) => new MemoryLocker({ acquireLockTimeout: ms })],
  ] as const) {
    describe(name, () => {
      it('lets one request in for each upload', async () => {
        const locker: ServersLocker = make();
        const [a, b, other] = [locker.newLock('1'), locker.newLock('1'), locker.newLock('2')];
        await a.lock(never, nothing);
        await other.lock(never, nothing);
        const second = b.lock(never, nothing);
        expect(await outcomeSoon(second)).toBe('open');
        await a.unlock();
        await second;
        await b.unlock();
        await other.unlock();
      });

      it(`asks who is in to end: ${ours ? 'once, however many wait' : 'again and again, for as long as somebody waits'}`, async () => {
        const locker: ServersLocker = make();
        const [a, b, c] = [locker.newLock('1'), locker.newLock('1'), locker.newLock('1')];
        const asked = { a: 0, b: 0, c: 0 };
        await a.lock(never, () => void asked.a++);
        expect(asked.a).toBe(0);
        const waits = [b.lock(never, () => void asked.b++), c.lock(never, () => void asked.c++)];
        await (ours ? setTimeout(20) : until(() => asked.a > 20));
        expect(asked.b + asked.c).toBe(0);
        await a.unlock();
        await Promise.any(waits);
        // Who comes in while another one waits is asked, too.
        await until(() => asked.b + asked.c > (ours ? 0 : 20));
        if (ours) expect(asked).toEqual({ a: 1, b: 1, c: 0 });
        await Promise.all([asked.b > 0 ? b.unlock() : c.unlock(), ...waits]);
      });

      it(`ends a wait that takes too long, by ${ours ? 423 : 500}`, async () => {
        const locker: ServersLocker = make(30);
        await locker.newLock('1').lock(never, nothing);
        await expect(locker.newLock('1').lock(never, nothing)).rejects.toMatchObject({ status_code: ours ? 423 : 500 });
      });

      it(`ends a wait whose request is gone, by ${ours ? 'its own reason' : 500}`, async () => {
        const locker: ServersLocker = make();
        await locker.newLock('1').lock(never, nothing);
        const controller = new AbortController();
        const waits = locker.newLock('1').lock(controller.signal, nothing);
        controller.abort({ status_code: 400 });
        expect(await outcome(waits)).toBe(ours ? '400' : '500');
        const early = locker.newLock('2').lock(AbortSignal.abort({ status_code: 400 }), nothing);
        // The server's own gives a lock to one that is gone already.
        expect(await outcome(early)).toBe(ours ? '400' : 'done');
      });

      it(`refuses to unlock what is not locked${ours ? ', nor lets a stranger unlock it' : ', but lets a stranger unlock it'}`, async () => {
        const locker: ServersLocker = make();
        const [owner, stranger] = [locker.newLock('1'), locker.newLock('1')];
        await expect(owner.unlock()).rejects.toThrow();
        await owner.lock(never, nothing);
        expect(await outcome(stranger.unlock())).toBe(ours ? '423' : 'done');
        const waits = stranger.lock(never, nothing);
        expect(await (ours ? outcomeSoon : outcome)(waits)).toBe(ours ? 'open' : 'done');
        await owner.unlock();
        await expect(owner.unlock()).rejects.toThrow();
      });

      it(`grants ${ours ? 'in the order of arrival' : 'to whoever comes at the right moment'}`, async () => {
        const locker: ServersLocker = make();
        const [a, b, c] = [locker.newLock('1'), locker.newLock('1'), locker.newLock('1')];
        await a.lock(never, nothing);
        const order: string[] = [];
        const second = b.lock(never, nothing).then(() => order.push('b'));
        await setTimeout(5);
        await a.unlock();
        const newcomer = c.lock(never, nothing).then(() => order.push('c'));
        await Promise.any([second, newcomer]);
        expect(order).toEqual([ours ? 'b' : 'c']);
        await (ours ? b : c).unlock();
        await Promise.all([second, newcomer]);
      });
    });
  }

  it('all of them over one locker know of each other, and are forgotten', async () => {
    const mutex = new KeyedMutex();
    let asked = 0;
    const first = tusLocker(mutex).newLock('1');
    await first.lock(never, () => void asked++);
    const second = tusLocker(mutex).newLock('1');
    const waits = second.lock(never, nothing);
    expect(asked).toBe(1);
    await first.unlock();
    await waits;
    await second.unlock();
    // Nothing of the first one's is asked any more.
    await tusLocker(mutex).newLock('1').lock(never, nothing);
    expect(asked).toBe(1);
  });

  it("whoever lost the lock is asked to end, once, and cannot unlock what is another's by now", async () => {
    const clock = new VirtualClock();
    const mutex = new KeyedMutex({ clock });
    const locker = tusLocker(mutex, { maxHoldMs: 20 });
    const [first, second] = [locker.newLock('1'), locker.newLock('1')];
    const asked = { first: 0, second: 0 };
    await first.lock(never, () => void asked.first++);
    await clock.advance(20);
    expect(asked.first).toBe(1);
    await second.lock(never, () => void asked.second++);
    await expect(first.unlock()).rejects.toMatchObject({ code: 'LOCK_LOST', status_code: 423 });
    expect(await mutex.isLocked('1')).toBe(true);
    expect(asked).toEqual({ first: 1, second: 0 });
    const third = locker.newLock('1').lock(never, nothing);
    expect(asked).toEqual({ first: 1, second: 1 });
    await second.unlock();
    await third;
  });

  it('who comes between an unlock and the next lock asks that next one', async () => {
    const locker = tusLocker(new KeyedMutex());
    const [first, second, third] = [locker.newLock('1'), locker.newLock('1'), locker.newLock('1')];
    let asked = 0;
    await first.lock(never, nothing);
    const waits = second.lock(never, () => void asked++);
    const unlocked = first.unlock();
    const last = third.lock(never, nothing);
    await Promise.all([unlocked, waits]);
    expect(asked).toBe(1);
    await second.unlock();
    await last;
  });

  it('a request may take as long as it takes', async () => {
    const clock = new VirtualClock();
    for (const locker of [new KeyedMutex({ clock }), leaseLocker(memoryLeases({ clock }), { clock })]) {
      const lock = tusLocker(locker).newLock('1');
      await lock.lock(never, () => expect.fail('asked to end'));
      await clock.advance(3_600_000);
      await lock.unlock();
    }
  });

  it('what was written under the lock stands although the store cannot be told of its release', async () => {
    const leases = memoryLeases();
    const locker = tusLocker(
      leaseLocker({
        ...leases,
        name: 'cut off',
        modes: leases.modes,
        acquire: leases.acquire.bind(leases),
        renew: leases.renew.bind(leases),
        release: () => Promise.reject(new Error('cut off')),
      }),
    );
    const lock = locker.newLock('1');
    await lock.lock(never, nothing);
    await lock.unlock();
  });

  it('nothing is kept of uploads that nobody works on', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const locker = tusLocker(new KeyedMutex());
    const work = async (round: string): Promise<number> => {
      for (let i = 0; i < 5_000; i++) {
        // A name of its own for each, a thousand bytes long.
        const lock = locker.newLock(Buffer.alloc(1_000, `${round} ${i} `).toString());
        await lock.lock(never, nothing);
        if (i % 2 === 0) await lock.unlock();
        else await Promise.all([lock.unlock(), lock.unlock().catch(nothing)]);
      }
      collect();
      return process.memoryUsage().heapUsed;
    };
    const before = await work('first');
    expect((await work('second')) - before).toBeLessThan(2_000_000);
  });

  it('a request that fails to end surfaces, and disturbs nobody', async () => {
    const locker = tusLocker(new KeyedMutex());
    const [first, second] = [locker.newLock('1'), locker.newLock('1')];
    const before = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    const unhandled = new Promise((resolve) => process.once('unhandledRejection', resolve));
    await first.lock(never, () => {
      throw new Error('of the request');
    });
    const waits = second.lock(never, nothing);
    expect(await unhandled).toEqual(new Error('of the request'));
    for (const listener of before) process.on('unhandledRejection', listener);
    await first.unlock();
    await waits;
    await second.unlock();
  });

  it('bad input is refused by an error that names option, rule and value', async () => {
    const mutex = new KeyedMutex();
    expect(() => tusLocker(undefined as never)).toThrow('locker.acquire must be a function, but is undefined');
    expect(() => tusLocker(mutex, { timeoutMs: -1 })).toThrow('timeoutMs must be a number ≥ 0, but is -1');
    expect(() => tusLocker(mutex, { maxHoldMs: 0 })).toThrow('maxHoldMs must be a number ≥ 1, but is 0');
    expect(() => tusLocker(mutex, { leaseMs: Number.NaN })).toThrow('leaseMs must be a number ≥ 1, but is NaN');
    await expect(tusLocker(mutex).newLock('').lock(never, nothing)).rejects.toThrow('key must be a non-empty string');
  });
});

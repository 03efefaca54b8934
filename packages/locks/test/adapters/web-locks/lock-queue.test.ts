import { deferred } from '@chunks/base';
import { settle } from '@chunks/base/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LockQueue, LockRequest } from '../../../src/adapters/web-locks/lock-queue.ts';

type How = 'shared' | 'ifAvailable' | 'steal' | '';
type Section = (granted: boolean) => unknown;
const nothing = (): void => undefined;

function requestFor(name: string, section: Section, how: How = ''): LockRequest {
  const haste = how === 'ifAvailable' || how === 'steal' ? how : undefined;
  const request = new LockRequest(name, how === 'shared' ? 'shared' : 'exclusive', haste, section);
  request.released.promise.catch(nothing);
  return request;
}

const ask = (queue: LockQueue, ...what: Parameters<typeof requestFor>): void => queue.add(requestFor(...what));

describe('a queue', () => {
  it('lets in by arrival over all names, also within sections that begin', async () => {
    const queue = new LockQueue();
    const log: string[] = [];
    const hold = deferred<void>();
    ask(queue, 'a', () => hold.promise);
    ask(queue, 'a', () => ask(queue, 'b', () => log.push('requested by the first')), 'shared');
    ask(queue, 'a', () => log.push('second'), 'shared');
    hold.resolve();
    await settle();
    expect(log).toEqual(['second', 'requested by the first']);
  });

  it('begins no other section in the pass that has turned one away', async () => {
    const queue = new LockQueue();
    const log: string[] = [];
    const open = deferred<void>();
    const hold = deferred<void>();
    ask(queue, 'a', () => hold.promise);
    ask(queue, 'a', () => ask(queue, 'b', nothing, 'ifAvailable'), 'shared');
    ask(queue, 'b', () => open.promise);
    ask(
      queue,
      'a',
      () => {
        ask(queue, 'c', () => log.push('requested'));
        log.push('second');
      },
      'shared',
    );
    hold.resolve();
    await settle();
    // The first's ifAvailable is turned away in the pass of the second's request, which ends with that.
    expect(log).toEqual(['second', 'requested']);
    open.resolve();
  });

  it('lets any number of sections that end at once follow one another', async () => {
    const queue = new LockQueue();
    const hold = deferred<void>();
    let entered = 0;
    ask(queue, 'a', () => hold.promise);
    for (let i = 0; i < 50_000; i++) ask(queue, 'a', () => void entered++);
    hold.resolve();
    await settle();
    expect(entered).toBe(50_000);
  });

  it('holds no entry for a name that nobody holds or waits for', async () => {
    const act = fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      how: fc.constantFrom<How>('shared', 'ifAvailable', 'steal', ''),
      end: fc.constantFrom('at once', 'throw', 'hold', 'withdrawn'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 30 }), async (acts) => {
        const queue = new LockQueue();
        const hold = deferred<void>();
        for (const { name, how, end } of acts) {
          const section = (): unknown => {
            if (end === 'throw') throw new Error('thrown');
            return end === 'at once' ? undefined : hold.promise;
          };
          if (end !== 'withdrawn') {
            ask(queue, name, section, how);
            continue;
          }
          const request = requestFor(name, section);
          queue.add(request);
          queue.withdraw(request);
          queue.withdraw(request);
        }
        hold.resolve();
        await settle();
        expect(queue.snapshot()).toEqual({ held: [], pending: [] });
        expect(queue.resources.size).toBe(0);
      }),
    );
  });

  it('knows one who was robbed no more: the late end of that section opens nothing', async () => {
    const queue = new LockQueue();
    const [old, now] = [deferred<void>(), deferred<void>()];
    let next = false;
    ask(queue, 'a', () => old.promise);
    ask(queue, 'a', () => now.promise, 'steal');
    ask(queue, 'a', () => void (next = true));
    old.resolve();
    await settle();
    expect(next).toBe(false);
    now.resolve();
    await settle();
    expect(next).toBe(true);
  });
});

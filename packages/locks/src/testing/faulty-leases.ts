import { type Clock, checkFunction, systemClock } from '@chunks/base';
import type { LeaseDriver } from '../lease-driver.ts';

/** One call that a locker makes to its driver. */
export interface LeaseCall {
  readonly method: 'acquire' | 'renew' | 'release' | 'inspect' | 'watch';
  readonly key: string;
  /** 1 for the first call of all, whatever its method. */
  readonly count: number;
}

/** What happens to a call on its way. */
export type LeaseFault =
  /** The store is not reached: nothing is done, and the call rejects. */
  | 'unreachable'
  /** The store does what was asked, and the answer is lost: the call rejects. */
  | 'reply lost'
  /** The request takes `requestMs` to the store, the answer `replyMs` back. Infinity: it never arrives. @default 0 */
  | { readonly requestMs?: number | undefined; readonly replyMs?: number | undefined };

/**
 * A driver on a bad network: each call fares as the plan says, and as always where that says nothing.
 *
 * Cancel: a call on its way does not hear of its signal, as a packet does not; the wrapped driver does.
 * @param plan asked once a call, in the order of the calls
 * @param clock whose time a slow network takes @default the host's
 * @throws TypeError when `plan` is no function.
 * @example
 * // Every third renewal is done, and its answer lost.
 * let renewals = 0;
 * const driver = faultyLeases(memoryLeases(), ({ method }) =>
 *   method === 'renew' && ++renewals % 3 === 0 ? 'reply lost' : undefined,
 * );
 */
export function faultyLeases(
  driver: LeaseDriver,
  plan: (call: LeaseCall) => LeaseFault | undefined,
  clock: Clock = systemClock,
): LeaseDriver {
  checkFunction('plan', plan);
  let count = 0;
  const send = async <T>(method: LeaseCall['method'], key: string, call: () => Promise<T>): Promise<T> => {
    const fault = plan({ method, key, count: ++count });
    if (fault === undefined) return call();
    if (fault === 'unreachable') throw new Error(`${method}: the store was not reached, by plan`);
    if (fault === 'reply lost') {
      await call();
      throw new Error(`${method}: the answer was lost, by plan`);
    }
    const { requestMs = 0, replyMs = 0 } = fault;
    if (requestMs > 0) await clock.sleep(requestMs);
    const answer = await call();
    if (replyMs > 0) await clock.sleep(replyMs);
    return answer;
  };
  const { inspect, watch, close } = driver;
  return {
    name: `faulty ${driver.name}`,
    modes: driver.modes,
    acquire: (key, ...rest) => send('acquire', key, () => driver.acquire(key, ...rest)),
    renew: (key, ...rest) => send('renew', key, () => driver.renew(key, ...rest)),
    release: (key, ...rest) => send('release', key, () => driver.release(key, ...rest)),
    ...(inspect && { inspect: (key) => send('inspect', key, () => inspect.call(driver, key)) }),
    ...(watch && { watch: (key, wake) => send('watch', key, () => watch.call(driver, key, wake)) }),
    ...(close && { close: () => close.call(driver) }),
  };
}

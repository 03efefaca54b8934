import { equal, isTrue, rejection } from '@chunks/base/testing';
import type { LeaseDriver } from '../lease-driver.ts';
import { ask, LONG_MS, lives, queue, refused, take } from './lease-bench.ts';
import type { LeaseCases } from './lease-cases.ts';

/** Drivers with `inspect`. */
export const inspectCases: LeaseCases = {
  async 'inspect tells who has the key, how, and for how long, and nothing of a free one'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    equal(await there.inspect?.('key'), undefined, 'a key that was never taken');
    const token = await take(here, 'key', 'a');
    const { expiresInMs = 0, ...rest } = (await there.inspect?.('key')) ?? {};
    equal({ ...rest }, { holder: 'a', mode: 'exclusive' }, 'a key that is held');
    isTrue(expiresInMs > LONG_MS / 2 && expiresInMs <= LONG_MS, `expiresInMs is what is left, got ${expiresInMs}`);
    await here.release('key', 'a', token);
    equal(await there.inspect?.('key'), undefined, 'a key that was released');
    await take(here, 'key', 'b', trial.shortMs);
    await trial.passShort();
    equal(await there.inspect?.('key'), undefined, 'a key whose lease has ended');
  },
};

/** Drivers without it. */
export const noInspectCases: LeaseCases = {
  async 'there is no inspect'(trial) {
    isTrue((await trial.open()).inspect === undefined, 'inspect must not be there');
  },
};

const wakes = async (driver: LeaseDriver, key: string): Promise<{ count: number; stop: () => void }> => {
  const heard = { count: 0, stop: (): void => undefined };
  const stop = await driver.watch?.(key, () => {
    heard.count++;
  });
  isTrue(typeof stop === 'function', 'watch gives a function that stops it');
  heard.stop = stop;
  return heard;
};

/** Drivers with `watch`. */
export const watchCases: LeaseCases = {
  async 'a release wakes who watches the key, in every process, until they stop'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    const [own, first, second] = [await wakes(here, 'key'), await wakes(there, 'key'), await wakes(there, 'key')];
    const release = async (holder: string): Promise<void> => {
      equal(await here.release('key', holder, await take(here, 'key', holder)), true, 'release');
    };
    await release('a');
    await trial.until(() => own.count > 0 && first.count > 0 && second.count > 0, 'everybody must be woken');
    first.stop();
    first.stop();
    const [before, at] = [first.count, second.count];
    await release('b');
    await trial.until(() => second.count > at, 'who still watches must be woken');
    equal(first.count, before, 'wakes after the stop');
    own.stop();
    second.stop();
    const again = await wakes(there, 'key');
    await release('c');
    await trial.until(() => again.count > 0, 'who watches anew must be woken');
    again.stop();
  },

  async 'any number of keys can be watched, whatever they are made of'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    const keys = ['a', 'a/b c', 'é*>.\'"', ...Array.from({ length: 20 }, (_, i) => `key ${i}`), 'k'.repeat(512)];
    const heard = await Promise.all(keys.map((key) => wakes(there, key)));
    for (const key of keys) await here.release(key, 'h', await take(here, key, 'h'));
    await trial.until(() => heard.every(({ count }) => count > 0), 'who watches each key must be woken');
    for (const { stop } of heard) stop();
  },

  async 'a closed driver wakes nobody'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    const [gone, still] = [await wakes(there, 'key'), await wakes(here, 'key')];
    await there.close?.();
    const before = gone.count;
    await here.release('key', 'a', await take(here, 'key', 'a'));
    await trial.until(() => still.count > 0, 'who still watches must be woken');
    equal(gone.count, there.close ? before : gone.count, 'wakes after close');
    gone.stop();
    still.stop();
  },
};

/** Drivers without it. */
export const noWatchCases: LeaseCases = {
  async 'there is no watch'(trial) {
    isTrue((await trial.open()).watch === undefined, 'watch must not be there');
  },
};

/** Drivers of stores that can be out of reach. */
export const remoteCases: LeaseCases = {
  async 'a store that does not answer is neither busy nor free: every call rejects, and works once it answers'(trial) {
    const { driver, end } = await outageOf(trial.bench);
    const calls = {
      acquire: () => ask(driver, 'key', 'a'),
      renew: () => driver.renew('key', 'a', 1, LONG_MS),
      release: () => driver.release('key', 'a', 1),
      ...(driver.inspect && { inspect: () => driver.inspect?.('key') as Promise<unknown> }),
    };
    // At once: a client may take its time to say so.
    const rejects = Object.entries(calls).map(async ([name, call]) => {
      isTrue((await rejection(call(), name)) instanceof Error, `${name} must reject with the client's error`);
    });
    await Promise.all(rejects);
    await end();
    // A client of any kind may need some time to find back.
    let token = 0;
    let failure: unknown;
    for (let attempt = 0; attempt < 100 && token === 0; attempt++) {
      token = await take(driver, 'key', 'a').catch((error: unknown) => {
        failure = error;
        return 0;
      });
      if (token === 0) await trial.bench.pass(50);
    }
    isTrue(token > 0, `the first call after the outage must work, got ${failure}`);
    isTrue(lives(await driver.renew('key', 'a', token, LONG_MS)), 'renewal after the outage');
    equal(await driver.release('key', 'a', token), true, 'release after the outage');
    await driver.close?.();
  },
};

/** Drivers of stores that are always there. */
export const localCases: LeaseCases = {
  async 'the store cannot be out of reach'(trial) {
    isTrue(trial.bench.outage === undefined, 'the bench must have no outage');
  },
};

const outageOf: (bench: { outage?: unknown }) => Promise<{ driver: LeaseDriver; end(): unknown }> = async (bench) => {
  isTrue(typeof bench.outage === 'function', 'the bench of a remote store needs an outage');
  return bench.outage();
};

/** Drivers whose time a test sets. */
export const injectedClockCases: LeaseCases = {
  async 'tokens are the clock, or one more than the last where that is ahead'(trial) {
    const driver = await trial.open();
    const next = async (holder: string): Promise<number> => {
      const token = await take(driver, 'key', holder);
      equal(await driver.release('key', holder, token), true, 'release');
      return token;
    };
    const first = await next('a');
    equal(first, Math.floor(await trial.bench.now()), 'the first token');
    equal([await next('b'), await next('c')], [first + 1, first + 2], 'tokens of the same ms');
    await trial.bench.pass(1_000);
    const later = await next('d');
    equal(later, Math.floor(await trial.bench.now()), 'the token a second later');
    isTrue(typeof trial.bench.turnBack === 'function', 'the bench of an injected clock needs a turnBack');
    trial.bench.turnBack(3_600_000);
    equal(await next('e'), later + 1, 'the token after the clock was set back');
    equal(await take(driver, 'key', 'f', trial.shortMs), later + 2, 'the next one');
    await trial.passShort();
    equal(await next('g'), later + 3, 'the token after a lease that ended');
  },

  async 'a lease ends to the ms'(trial) {
    const driver = await trial.open();
    const token = await take(driver, 'key', 'a', trial.shortMs);
    await trial.bench.pass(trial.shortMs - 1);
    equal((await refused(driver, 'key', 'b')).retryAfterMs, 1, 'what is left 1 ms before the end');
    equal(await driver.renew('key', 'a', token, trial.shortMs), true, 'renewal 1 ms before the end');
    await trial.bench.pass(trial.shortMs);
    equal(await driver.renew('key', 'a', token, trial.shortMs), false, 'renewal at the end');
    await take(driver, 'key', 'b');
  },
};

/** Drivers with the exclusive mode alone. */
export const exclusiveOnlyCases: LeaseCases = {
  async 'the exclusive mode is the only one'(trial) {
    equal((await trial.open()).modes, ['exclusive'], 'modes');
  },
};

/** Drivers with both modes. */
export const sharedCases: LeaseCases = {
  async 'shared holders are in together, under one token; an exclusive one is alone'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    equal([...here.modes].sort(), ['exclusive', 'shared'], 'modes');
    const token = await take(here, 'key', 'a', LONG_MS, 'shared');
    equal(await take(there, 'key', 'b', LONG_MS, 'shared'), token, 'the token of the second shared holder');
    await refused(there, 'key', 'x');
    equal(await here.release('key', 'a', token), true, 'release of the first');
    await refused(there, 'key', 'x');
    isTrue(lives(await there.renew('key', 'b', token, LONG_MS)), 'the second is still in');
    equal(await here.renew('key', 'a', token, LONG_MS), false, 'the first is out');
    equal(await there.release('key', 'b', token), true, 'release of the second');
    const alone = await take(there, 'key', 'x');
    isTrue(alone > token, `token ${alone} must be higher than ${token}`);
    await refused(here, 'key', 'a', LONG_MS, 'shared');
    equal(await there.release('key', 'x', alone), true, 'release of the exclusive one');
    const phase = await take(here, 'key', 'a', LONG_MS, 'shared');
    isTrue(phase > alone, `token ${phase} must be higher than ${alone}`);
  },

  async 'shared leases end one by one'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    const token = await take(here, 'key', 'a', trial.shortMs, 'shared');
    await take(there, 'key', 'b', LONG_MS, 'shared');
    await trial.passShort();
    equal(await here.renew('key', 'a', token, LONG_MS), false, 'the first has ended');
    isTrue((await queue(here, 'key', 'x')).holder === 'b', 'the second is still in');
  },
};

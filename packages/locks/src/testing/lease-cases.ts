import { equal, isTrue } from '@chunks/base/testing';
import { ask, type LeaseTrial, LONG_MS, lives, queue, refused, take } from './lease-bench.ts';

/** Cases by name; each gets a trial on a store of its own. */
export type LeaseCases = Record<string, (trial: LeaseTrial) => Promise<void>>;

/** Keys that stores like to confuse: separators, wildcards, quotes, NUL, forms of one letter, length. */
const TRICKY_KEYS: readonly string[] = [
  ' ',
  'a',
  'A',
  'a ',
  ' a',
  'a/b',
  'a/',
  '/a',
  'a//b',
  'a.b',
  'a.',
  '.',
  '..',
  '../a',
  'a:b',
  '{a}b',
  'a*',
  '*',
  'a>',
  '>',
  'a?',
  'a%',
  'a%2Fb',
  'a_b',
  'a=b',
  'a#b',
  'a+b',
  'a&b',
  'a\\b',
  'a"b',
  "a'b",
  "'; DROP TABLE leases; --",
  'a\nb',
  'a\0b',
  'a\0',
  '\u00e1',
  'a\u0301',
  '\ud83d\ude00',
  '__proto__',
  'constructor',
  'k'.repeat(512),
  `${'k'.repeat(511)}2`,
  '\u00e9'.repeat(256),
];

/** Acquire: who gets the key, and with which token. */
export const acquireCases: LeaseCases = {
  async 'a free key is given, and is busy for everybody else: by whom, and for how long'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    await take(here, 'key', 'a');
    for (const driver of [here, there]) {
      const { holder, retryAfterMs = 0 } = await refused(driver, 'key', 'b');
      equal(holder, 'a', 'the busy answer names the holder');
      isTrue(
        retryAfterMs > LONG_MS / 2 && retryAfterMs <= LONG_MS,
        `retryAfterMs is what is left, got ${retryAfterMs}`,
      );
    }
    await take(there, 'another key', 'b');
  },

  async 'of many who ask for a free key at once exactly one gets it'(trial) {
    await race(trial, 'key');
  },

  async 'of many who ask for an ended lease at once exactly one takes it over, with a higher token'(trial) {
    const before = await take(await trial.open(), 'key', 'dead', trial.shortMs);
    await trial.passShort();
    const token = await race(trial, 'key');
    isTrue(token > before, `token ${token} must be higher than ${before}`);
  },

  async 'the holder who asks again gets the same token, and its lease starts anew'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    const token = await take(here, 'key', 'a', LONG_MS);
    equal(await take(here, 'key', 'a', 2 * LONG_MS), token, 'the token of the second answer');
    const { retryAfterMs = 0 } = await refused(there, 'key', 'b');
    isTrue(retryAfterMs > LONG_MS, `the lease must start anew, ${retryAfterMs} ms are left`);
    equal(await there.release('key', 'a', token), true, 'one release is enough, however often it asked');
    await take(there, 'key', 'b');
  },

  async 'a holder who asks again after its lease has ended gets a higher token'(trial) {
    const driver = await trial.open();
    const token = await take(driver, 'key', 'a', trial.shortMs);
    await trial.passShort();
    const again = await take(driver, 'key', 'a');
    isTrue(again > token, `token ${again} must be higher than ${token}`);
  },

  async 'tokens rise strictly, over releases, ended leases and processes'(trial) {
    let last = 0;
    const rises = (token: number): void => {
      isTrue(token > last, `token ${token} must be higher than ${last}`);
      last = token;
    };
    for (let round = 0; round < 3; round++) {
      const drivers = [await trial.open(), await trial.open()] as const;
      for (let i = 0; i < 10; i++) {
        const driver = drivers[i % 2] as (typeof drivers)[0];
        const token = await take(driver, 'key', `${round}-${i}`);
        rises(token);
        equal(await driver.release('key', `${round}-${i}`, token), true, 'release');
      }
      rises(await take(drivers[0], 'key', `dead ${round}`, trial.shortMs));
      for (const driver of drivers) await driver.close?.();
      await trial.passShort();
    }
    rises(await take(await trial.open(), 'key', 'last'));
  },

  async "a first token is the store's clock, in whole ms"(trial) {
    const driver = await trial.open();
    // The first call also connects, and creates tables.
    await take(driver, 'another key', 'a');
    const fromMs = Math.floor(await trial.bench.now());
    const token = await take(driver, 'key', 'a');
    const toMs = Math.ceil(await trial.bench.now());
    isTrue(token >= fromMs && token <= toMs, `token ${token} must be from ${fromMs} to ${toMs}`);
  },

  async 'no key is taken for another, whatever it is made of'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    const tokens: number[] = [];
    for (const [i, key] of TRICKY_KEYS.entries()) tokens.push(await take(here, key, `h${i}`));
    for (const [i, key] of TRICKY_KEYS.entries()) {
      equal((await refused(there, key, 'b')).holder, `h${i}`, `the holder of ${JSON.stringify(key)}`);
      isTrue(lives(await there.renew(key, `h${i}`, tokens[i] as number, LONG_MS)), `renewal of ${JSON.stringify(key)}`);
      equal(await there.release(key, `h${i}`, tokens[i] as number), true, `release of ${JSON.stringify(key)}`);
    }
  },

  async 'holders are told apart to their last character'(trial) {
    const driver = await trial.open();
    const holder = 'h'.repeat(63);
    const token = await take(driver, 'key', `${holder}1`);
    equal((await refused(driver, 'key', `${holder}2`)).holder, `${holder}1`, 'the holder');
    equal(await driver.release('key', `${holder}2`, token), false, "another's release");
    equal(await driver.release('key', `${holder}1`, token), true, 'release');
  },

  async 'an aborted call rejects with its reason or goes on, and blocks nobody either way'(trial) {
    const driver = await trial.open();
    const aborted = AbortSignal.abort(new Error('not needed any more'));
    const later = new AbortController();
    const calls = [aborted, later.signal].map(async (signal, i) => {
      const holder = `impatient ${i}`;
      const call = driver.acquire(`key ${i}`, holder, LONG_MS, { mode: 'exclusive', signal });
      later.abort(aborted.reason);
      const failure = await call.then(
        () => undefined,
        (error: unknown) => error,
      );
      isTrue(failure === undefined || failure === aborted.reason, `rejected with ${failure}, not with the reason`);
      const token = await take(driver, `key ${i}`, holder);
      equal(await driver.release(`key ${i}`, holder, token), true, 'release');
      await take(driver, `key ${i}`, 'next');
    });
    await Promise.all(calls);
  },
};

/** Renew and release: whose lease it is. */
export const holderCases: LeaseCases = {
  async 'a renewed lease lasts from now, and nobody waits for it'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    const token = await take(here, 'key', 'a');
    equal(await here.renew('key', 'a', token, 2 * LONG_MS), true, 'renewal');
    const { retryAfterMs = 0 } = await refused(there, 'key', 'b');
    isTrue(retryAfterMs > LONG_MS, `the renewed lease has ${retryAfterMs} ms left`);
    isTrue(lives(await there.renew('key', 'a', token, trial.shortMs)), 'renewal through another process');
    await trial.passShort();
    await take(there, 'key', 'b');
  },

  async 'an ended lease never revives, though nobody has taken it'(trial) {
    const driver = await trial.open();
    const token = await take(driver, 'key', 'a', trial.shortMs);
    const another = await take(driver, 'another key', 'a', trial.shortMs);
    await trial.passShort();
    equal(await driver.renew('key', 'a', token, LONG_MS), false, 'renewal of an ended lease');
    equal(await driver.release('another key', 'a', another), false, 'release of an ended lease');
    equal(await driver.release('key', 'a', token), false, 'release after the renewal');
    equal(await driver.renew('another key', 'a', another, LONG_MS), false, 'renewal after the release');
    for (const key of ['key', 'another key']) await take(driver, key, 'b');
  },

  async 'only the holder renews and releases, with the token of this very lease'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    const token = await take(here, 'key', 'a');
    for (const [holder, other] of [
      ['b', token],
      ['a', token - 1],
      ['a', token + 1],
      ['b', 0],
    ] as const) {
      equal(await there.renew('key', holder, other, 2 * LONG_MS), false, `renewal by ${holder}`);
      equal(await there.release('key', holder, other), false, `release by ${holder}`);
    }
    equal(await there.renew('never taken', 'a', token, LONG_MS), false, 'renewal of a key that nobody has');
    equal(await there.release('never taken', 'a', token), false, 'release of a key that nobody has');
    const { holder, retryAfterMs = 0 } = await refused(there, 'key', 'b');
    equal(holder, 'a', 'the holder after all that');
    isTrue(retryAfterMs <= LONG_MS, `nobody has renewed it, and ${retryAfterMs} ms are left`);
    isTrue(lives(await here.renew('key', 'a', token, LONG_MS)), 'the lease is still alive');
  },

  async 'a holder whose key was taken over can do nothing to the next one'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    const old = await take(here, 'key', 'a', trial.shortMs);
    await trial.passShort();
    const token = await take(there, 'key', 'b');
    equal(await here.renew('key', 'a', old, LONG_MS), false, 'renewal by the old holder');
    equal(await here.release('key', 'a', old), false, 'release by the old holder');
    equal((await refused(here, 'key', 'c')).holder, 'b', 'the holder');
    isTrue(lives(await there.renew('key', 'b', token, LONG_MS)), 'the new lease is alive');
  },

  async 'a release frees the key at once, once'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    const token = await take(here, 'key', 'a');
    equal(await here.release('key', 'a', token), true, 'release');
    equal(await here.release('key', 'a', token), false, 'release again');
    equal(await here.renew('key', 'a', token, LONG_MS), false, 'renewal of a released lease');
    const next = await take(there, 'key', 'b');
    isTrue(next > token, `token ${next} must be higher than ${token}`);
    equal(await here.release('key', 'a', token), false, 'release after the next grant');
    equal((await refused(here, 'key', 'c')).holder, 'b', 'the holder');
  },

  async 'a driver that is closed leaves the others and their leases alone'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    await take(here, 'key', 'a');
    await take(there, 'another key', 'b');
    await here.close?.();
    await here.close?.();
    equal((await refused(there, 'key', 'c')).holder, 'a', 'the lease outlives its driver');
    await take(there, 'a third key', 'c');
  },
};

/** 40 holders on 4 processes; exactly one is given the key. @returns its token */
async function race(trial: LeaseTrial, key: string): Promise<number> {
  const drivers = await Promise.all(Array.from({ length: 4 }, () => trial.open()));
  const asked = drivers.flatMap((driver, process) =>
    Array.from({ length: 10 }, async (_, i) => {
      const holder = `${process}-${i}`;
      const answer = await ask(driver, key, holder);
      return 'token' in answer ? [{ driver, holder, token: answer.token }] : [];
    }),
  );
  const [winner, ...others] = (await Promise.all(asked)).flat();
  isTrue(
    winner !== undefined && others.length === 0,
    `exactly one must be given the key, but ${winner ? 1 + others.length : 0} were`,
  );
  equal((await queue(winner.driver, key, 'late')).holder, winner.holder, 'the holder');
  return winner.token;
}

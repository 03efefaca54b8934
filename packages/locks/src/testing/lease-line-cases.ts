import { equal, isTrue } from '@chunks/base/testing';
import { CLAIM_MS, LONG_MS, lives, PLACE_MS, queue, refused, take } from './lease-bench.ts';
import type { LeaseCases } from './lease-cases.ts';

/** Stores that keep a line. */
export const lineCases: LeaseCases = {
  async 'a release hands the key on to the first in line; a newcomer finds it busy'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    let token = await take(here, 'key', 'a');
    const line = ['b', 'c', 'd'];
    for (const holder of line) equal((await queue(there, 'key', holder)).queued, true, 'the busy answer says queued');
    // Asking again keeps the place, and takes no second one.
    for (const holder of [...line].reverse()) await queue(here, 'key', holder);
    let last = 'a';
    for (const holder of line) {
      equal(await here.release('key', last, token), true, 'release');
      await refused(here, 'key', 'newcomer');
      const next = await take(there, 'key', holder);
      isTrue(next > token, `token ${next} must be higher than ${token}`);
      [token, last] = [next, holder];
    }
    equal(await here.release('key', last, token), true, 'the last release');
    await take(here, 'key', 'newcomer');
  },

  async 'an ended lease goes to the first in line, too'(trial) {
    const [here, there] = [await trial.open(), await trial.open()];
    const token = await take(here, 'key', 'a', trial.shortMs);
    await queue(there, 'key', 'b');
    await trial.passShort();
    await refused(here, 'key', 'newcomer');
    isTrue((await take(there, 'key', 'b')) > token, 'a higher token');
  },

  async 'who leaves the line is passed over'(trial) {
    const driver = await trial.open();
    const token = await take(driver, 'key', 'a');
    for (const holder of ['b', 'c', 'd']) await queue(driver, 'key', holder);
    for (const holder of ['b', 'd', 'd', 'never there'])
      equal(await driver.release('key', holder, 0), false, 'leaving the line');
    equal(await driver.release('key', 'a', token), true, 'release');
    const next = await take(driver, 'key', 'c');
    equal(await driver.release('key', 'c', next), true, 'release by the last in line');
    await take(driver, 'key', 'newcomer');
  },

  async 'the holder learns that others wait, for as long as they do'(trial) {
    const driver = await trial.open();
    const token = await take(driver, 'key', 'a');
    equal(await driver.renew('key', 'a', token, LONG_MS), true, 'renewal while nobody waits');
    await queue(driver, 'key', 'b');
    equal(await driver.renew('key', 'a', token, LONG_MS), { contended: true }, 'renewal while somebody waits');
    await driver.release('key', 'b', 0);
    equal(await driver.renew('key', 'a', token, LONG_MS), true, 'renewal when nobody waits any more');
  },

  async 'what was handed on to somebody dead lapses soon, and goes to the next'(trial) {
    const driver = await trial.open();
    const token = await take(driver, 'key', 'a');
    for (const holder of ['dead', 'c']) await queue(driver, 'key', holder);
    equal(await driver.release('key', 'a', token), true, 'release');
    await trial.bench.pass(CLAIM_MS + 1);
    await refused(driver, 'key', 'newcomer');
    const next = await take(driver, 'key', 'c');
    isTrue(next > token, `token ${next} must be higher than ${token}`);
    await refused(driver, 'key', 'dead');
  },

  async 'what was handed on and is asked for lasts its whole lease'(trial) {
    const driver = await trial.open();
    const token = await take(driver, 'key', 'a');
    await queue(driver, 'key', 'b');
    equal(await driver.release('key', 'a', token), true, 'release');
    const next = await take(driver, 'key', 'b');
    await trial.bench.pass(CLAIM_MS + 1);
    await refused(driver, 'key', 'newcomer');
    isTrue(lives(await driver.renew('key', 'b', next, LONG_MS)), 'the lease is alive');
  },

  async 'a place that nobody asks for lapses, one that is asked for does not'(trial) {
    const driver = await trial.open();
    const token = await take(driver, 'key', 'a', 4 * PLACE_MS);
    for (const holder of ['dead', 'b']) await queue(driver, 'key', holder);
    for (let i = 0; i < 2; i++) {
      await trial.bench.pass(0.6 * PLACE_MS);
      for (const holder of ['b', 'c']) await queue(driver, 'key', holder);
    }
    equal(await driver.release('key', 'a', token), true, 'release');
    const next = await take(driver, 'key', 'b');
    isTrue(lives(await driver.renew('key', 'b', next, 4 * PLACE_MS)), 'the lease is alive');
    await trial.bench.pass(PLACE_MS + 1);
    equal(await driver.renew('key', 'b', next, LONG_MS), true, 'renewal when the only place has lapsed');
    equal(await driver.release('key', 'b', next), true, 'release');
    await take(driver, 'key', 'newcomer');
  },
};

/** The same where shared holders can stand in it. */
export const sharedLineCases: LeaseCases = {
  async 'a shared newcomer never passes an exclusive one in line'(trial) {
    const driver = await trial.open();
    const token = await take(driver, 'key', 'a', LONG_MS, 'shared');
    await queue(driver, 'key', 'x');
    await queue(driver, 'key', 'b', LONG_MS, 'shared');
    equal(await driver.release('key', 'a', token), true, 'release of the shared one');
    await queue(driver, 'key', 'b', LONG_MS, 'shared');
    const alone = await take(driver, 'key', 'x');
    equal(await driver.release('key', 'x', alone), true, 'release of the exclusive one');
    isTrue((await take(driver, 'key', 'b', LONG_MS, 'shared')) > alone, 'a higher token');
  },

  async 'shared ones in line enter together'(trial) {
    const driver = await trial.open();
    const token = await take(driver, 'key', 'x');
    for (const holder of ['a', 'b']) await queue(driver, 'key', holder, LONG_MS, 'shared');
    await queue(driver, 'key', 'y');
    await queue(driver, 'key', 'c', LONG_MS, 'shared');
    equal(await driver.release('key', 'x', token), true, 'release of the exclusive one');
    const shared = await take(driver, 'key', 'a', LONG_MS, 'shared');
    equal(await take(driver, 'key', 'b', LONG_MS, 'shared'), shared, 'the token of both');
    await queue(driver, 'key', 'c', LONG_MS, 'shared');
    for (const holder of ['a', 'b']) equal(await driver.release('key', holder, shared), true, 'release');
    await take(driver, 'key', 'y');
  },
};

/** Stores that keep none. */
export const noLineCases: LeaseCases = {
  async 'there is no line: a released key goes to whoever asks first'(trial) {
    const driver = await trial.open();
    const token = await take(driver, 'key', 'a');
    equal((await queue(driver, 'key', 'b')).queued, undefined, 'queued');
    equal(await driver.release('key', 'a', token), true, 'release');
    await take(driver, 'key', 'newcomer');
    equal((await queue(driver, 'key', 'b')).holder, 'newcomer', 'the holder');
  },
};

import { memoryStore, type VersionedStore } from '@chunks/state';
import { expect, test } from 'vitest';
import { behindFaults, losesNothing, plainLoopDoubles } from './lost-replies.ts';

const quick = { updates: 280 };
const one = (store: VersionedStore) => () => ({ ...store });

test.each(['lose-reply', 'resend', 'resend-blind'] as const)(
  'with %s in memory nothing is lost, and the plain loop doubles',
  async (fault) => {
    await losesNothing(behindFaults(one(memoryStore()), fault), quick);
    await plainLoopDoubles(behindFaults(one(memoryStore()), fault), quick);
  },
);

test('a store that takes every write is caught', async () => {
  const store = memoryStore();
  const careless: VersionedStore = {
    ...store,
    write: async (key, value, _, o) => store.write(key, value, (await store.read(key, o))?.revision, o),
  };
  await expect(losesNothing(behindFaults(one(careless), 'lose-reply'), quick)).rejects.toThrow();
});

test('a store in which nobody can tell whose write it was is caught', async () => {
  const store = memoryStore();
  const forgetful: VersionedStore = {
    ...store,
    write: (key, value, expected, o) =>
      store.write(key, value.replace(/"writeId":"[^"]*"/, '"writeId":"x.1"'), expected, o),
  };
  await expect(losesNothing(behindFaults(one(forgetful), 'lose-reply'), quick)).rejects.toThrow('doubled updates');
});

test('a link that loses nothing is no proof', async () => {
  const link = { ...behindFaults(one(memoryStore()), 'resend'), loseEvery: () => undefined };
  await expect(losesNothing(link, quick)).rejects.toThrow('replies lost');
  await expect(plainLoopDoubles(link, quick)).rejects.toThrow('doubled updates');
});

import { type StoreAbilities, versionedStoreContract } from '@chunks/state/testing';
import { referenceBench, type StoreFlaw } from './reference-store.ts';

/** A store that can do everything. */
export const all: StoreAbilities = { watch: true, list: true, remove: true, durable: 'async', maxKeyBytes: 600 };

/** A store that can do what it must. */
export const bare: StoreAbilities = { ...all, watch: false, list: false, remove: false };

// A case that hangs is as red as one that says no.
const PATIENCE_MS = 500;

/** The names of the cases that do not hold for the reference store with this flaw. */
export async function redCases(abilities: StoreAbilities, flaw?: StoreFlaw): Promise<string[]> {
  const cases = versionedStoreContract(referenceBench(abilities, flaw), abilities);
  const names = cases.map(({ name, run }) => {
    const patience = new Promise<never>((_, reject) => setTimeout(() => reject(new Error('hangs')), PATIENCE_MS));
    return Promise.race(flaw === undefined ? [run()] : [run(), patience]).then(
      () => [],
      () => [name],
    );
  });
  return (await Promise.all(names)).flat();
}

/** For a flaw, the cases that must catch it, at least. */
type Caught = { readonly [flaw in StoreFlaw]?: readonly string[] };

const says = 'it is what it says it is';
const reads = 'what was written is read, under the revision of the write, by every process';
const exists = 'a create fails when the key exists, a replace when it does not';
const absentKey = 'a key that was never written reads as undefined';
const aba = 'no revision comes twice, not even with an old value';
const race = 'of many writes on one revision exactly one wins';
const raceCreate = 'of many creates exactly one wins';
const values = 'values, which are JSON documents, come back to the letter';
const keys = 'no key reaches the record of another';
const closed = 'a closed store opens again, and can be closed twice';
const lists = 'list gives the keys that begin with a prefix, each once, and no others';
const listsMany = 'list gives all of many keys';
const listLeft = 'a list can be left, and an aborted one ends with the reason';
const removes = 'remove takes a key away, if it still has that revision';
const removed = 'a revision from before a removal never fits again';
const ticks = 'watch ticks when it listens, and again after each change';
const between = 'what is written between two ticks is not missed';
const anyKey = 'any key can be watched';
const watchEnds = 'an aborted watch ends with the reason, and one that is left ends';

/** Cases of what a store declares absent. */
export const absent: readonly string[] = ['list is absent', 'remove is absent', 'watch is absent'];

/** Of reads and writes. */
export const callFlaws: Caught = {
  'has no name': [says],
  'is less durable than it says': [says],
  'ignores expected': [exists, aba, race, raceCreate],
  'creates over what exists': [exists, raceCreate],
  'replaces what does not exist': [exists],
  'looks, waits, and then writes': [race],
  'creates twice': [raceCreate],
  'revises by content': [aba],
  'counts revisions per key': [aba],
  'reads null': [absentKey],
  'shows others what it saw first': [reads],
  'tells what does not stand there': [exists, aba],
  'stores values as parsed JSON': [values],
  'stores values of 1 kB': [values],
  'ends keys at NUL': [keys],
  'folds the case of keys': [keys],
  'writes keys as UTF-8': [keys],
  'cuts long keys': [keys],
  'normalises paths': [keys],
  'stays closed': [closed],
};

/** Of what a store may have. */
export const abilityFlaws: Caught = {
  'lists by pattern': [lists],
  'lists what contains the prefix': [lists],
  'lists one page': [listsMany],
  'lists twice': [lists, listsMany],
  'lists on after an abort': [listLeft],
  'removes whatever stands there': [removes],
  'removes what is not there': [removes],
  'removes nothing': [removes, removed],
  'starts to count again after a removal': [removed],
  'does not say that it listens': [ticks, between, anyKey, watchEnds],
  'hears only while it is asked': [between],
  'watches by pattern': [anyKey],
  'ends quietly when aborted': [watchEnds],
  'watches on after an abort': [watchEnds],
  'never ends when left': [watchEnds],
};

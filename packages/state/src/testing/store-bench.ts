import type { MaybePromise } from '@chunks/base';
import { equal, heard, isTrue } from '@chunks/base/testing';
import type { VersionedStore, WriteResult } from '../store.ts';

/** What a store declares of itself. What it declares absent has cases of its own, that it is absent. */
export type StoreAbilities = VersionedStore['capabilities'];

/** A store of its own for one case, empty, which all that `open` gives share. */
export interface StoreBench {
  /** One more process on this store: a new adapter, with a client of its own where that is cheap. */
  open(): MaybePromise<VersionedStore>;
  /** Takes the store away after the case. What was opened is closed by then. */
  close?(): MaybePromise<void>;
}

/** One case at work: the bench, what it opened, and the words in which cases speak. */
export class StoreTrial {
  readonly bench: StoreBench;
  readonly abilities: StoreAbilities;
  /** Never aborted. */
  readonly signal: AbortSignal = new AbortController().signal;
  readonly #opened: VersionedStore[] = [];
  #first: Promise<VersionedStore> | undefined;

  constructor(bench: StoreBench, abilities: StoreAbilities) {
    this.bench = bench;
    this.abilities = abilities;
  }

  /** The store that most cases use. */
  get store(): Promise<VersionedStore> {
    this.#first ??= heard(this.open());
    return this.#first;
  }

  /** One more process. */
  async open(): Promise<VersionedStore> {
    const store = await this.bench.open();
    this.#opened.push(store);
    return store;
  }

  async read(key: string): Promise<{ value: string; revision: string } | undefined> {
    return (await this.store).read(key, { signal: this.signal });
  }

  async write(key: string, value: string, expected?: string): Promise<WriteResult> {
    return (await this.store).write(key, value, expected, { signal: this.signal });
  }

  /** A write that has to succeed. @returns its revision */
  async put(key: string, value: string, expected?: string): Promise<string> {
    const reply = await this.write(key, value, expected);
    isTrue('revision' in reply, `unexpected conflict for ${JSON.stringify(key.slice(0, 60))}`);
    return reply.revision;
  }

  /** A write that must not be: a conflict, and where it says what stands there, that is so. */
  async refused(key: string, expected: string | undefined): Promise<void> {
    const reply = await this.write(key, '"must not be written"', expected);
    isTrue('conflict' in reply, 'a write on another revision must be a conflict');
    if (reply.current !== undefined) equal(reply.current, await this.read(key), 'current is what stands there');
  }

  async end(): Promise<void> {
    for (const store of this.#opened) await store.close?.();
    await this.bench.close?.();
  }
}

/** Bodies of cases by their names. */
export type StoreCases = Readonly<Record<string, (trial: StoreTrial) => Promise<void>>>;

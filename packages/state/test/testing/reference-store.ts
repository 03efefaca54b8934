import type { VersionedStore, WriteResult } from '@chunks/state';
import type { StoreAbilities, StoreBench } from '@chunks/state/testing';

/** A store that does everything right, or everything but one thing. */
export type StoreFlaw =
  | 'has no name'
  | 'is less durable than it says'
  | 'reads null'
  | 'ignores expected'
  | 'creates over what exists'
  | 'replaces what does not exist'
  | 'looks, waits, and then writes'
  | 'creates twice'
  | 'revises by content'
  | 'counts revisions per key'
  | 'shows others what it saw first'
  | 'tells what does not stand there'
  | 'stores values as parsed JSON'
  | 'stores values of 1 kB'
  | 'ends keys at NUL'
  | 'folds the case of keys'
  | 'writes keys as UTF-8'
  | 'cuts long keys'
  | 'normalises paths'
  | 'stays closed'
  | 'has what it has not'
  | 'lacks what it has'
  | 'lists by pattern'
  | 'lists what contains the prefix'
  | 'lists one page'
  | 'lists twice'
  | 'lists on after an abort'
  | 'removes whatever stands there'
  | 'removes what is not there'
  | 'removes nothing'
  | 'starts to count again after a removal'
  | 'does not say that it listens'
  | 'hears only while it is asked'
  | 'watches by pattern'
  | 'ends quietly when aborted'
  | 'watches on after an abort'
  | 'never ends when left';

interface Row {
  value: string;
  revision: string;
}

const hash = (text: string): string => {
  let sum = 0;
  for (let i = 0; i < text.length; i++) sum = (Math.imul(sum, 31) + text.charCodeAt(i)) | 0;
  return `h${sum}`;
};

const abortOf = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

/** What the processes of one bench share. */
class Shared {
  readonly rows = new Map<string, Row>();
  readonly listeners = new Set<(column: string) => void>();
  readonly writes = new Map<string, number>();
  total = 0;
}

class ReferenceStore implements VersionedStore {
  readonly name: string;
  readonly capabilities: StoreAbilities;
  readonly #shared: Shared;
  readonly #flaw: StoreFlaw | undefined;
  readonly #seen = new Map<string, Row | undefined>();
  #isClosed = false;

  constructor(shared: Shared, abilities: StoreAbilities, flaw: StoreFlaw | undefined) {
    this.#shared = shared;
    this.#flaw = flaw;
    this.name = flaw === 'has no name' ? '' : 'reference';
    this.capabilities = flaw === 'is less durable than it says' ? { ...abilities, durable: 'memory' } : abilities;
    const isReverse = flaw === 'has what it has not' || flaw === 'lacks what it has';
    const has = (ability: boolean): boolean => ability !== isReverse;
    if (!has(abilities.list)) Object.assign(this, { list: undefined });
    if (!has(abilities.remove)) Object.assign(this, { remove: undefined });
    if (!has(abilities.watch)) Object.assign(this, { watch: undefined });
  }

  async read(key: string): Promise<Row | undefined> {
    this.#open();
    const column = this.#column(key);
    const row = this.#shared.rows.get(column);
    if (this.#flaw === 'shows others what it saw first') {
      if (!this.#seen.has(column)) this.#seen.set(column, row);
      return this.#seen.get(column);
    }
    if (this.#flaw === 'reads null' && row === undefined) return null as never;
    return row && { ...row };
  }

  async write(key: string, given: string, expected: string | undefined): Promise<WriteResult> {
    this.#open();
    const column = this.#column(key);
    const { rows } = this.#shared;
    const row = rows.get(column);
    const current = this.#flaw === 'tells what does not stand there' ? { value: '"?"', revision: '?' } : row;
    const value = this.#flaw === 'stores values as parsed JSON' ? JSON.stringify(JSON.parse(given)) : given;
    if (this.#flaw === 'stores values of 1 kB' && value.length > 1_000) throw new Error('too large');
    const fits = row?.revision === expected;
    if (this.#flaw === 'looks, waits, and then writes' && expected !== undefined) await undefined;
    if (this.#flaw === 'creates twice' && expected === undefined) await undefined;
    const isBlind =
      this.#flaw === 'ignores expected' ||
      (this.#flaw === 'creates over what exists' && expected === undefined) ||
      (this.#flaw === 'replaces what does not exist' && row === undefined);
    if (!fits && !isBlind) return { conflict: true, current: current && { ...current } };
    const revision = this.#revision(column, value);
    rows.set(column, { value, revision });
    this.#seen.set(column, { value, revision });
    for (const listener of this.#shared.listeners) listener(column);
    return { revision };
  }

  async remove(key: string, expected: string): Promise<boolean> {
    const column = this.#column(key);
    const { rows, writes } = this.#shared;
    const row = rows.get(column);
    if (row === undefined) return this.#flaw === 'removes what is not there';
    if (row.revision !== expected && this.#flaw !== 'removes whatever stands there') return false;
    if (this.#flaw === 'starts to count again after a removal') writes.delete(column);
    if (this.#flaw !== 'removes nothing') rows.delete(column);
    return true;
  }

  async *list(prefix: string, { signal }: { signal: AbortSignal }): AsyncGenerator<string> {
    const column = this.#column(prefix);
    const like = new RegExp(
      `^${column
        .replaceAll(/[\\^$.|+()[\]{}]/g, '\\$&')
        .replaceAll('*', '.*')
        .replaceAll('?', '.')}`,
      's',
    );
    const isListed = (key: string): boolean => {
      if (this.#flaw === 'lists by pattern') return like.test(key);
      return this.#flaw === 'lists what contains the prefix' ? key.includes(column) : key.startsWith(column);
    };
    const found = [...this.#shared.rows.keys()].filter(isListed);
    const keys = this.#flaw === 'lists one page' ? found.slice(0, 1_000) : found;
    if (this.#flaw === 'lists twice') keys.push(...keys.slice(0, 1));
    for (const key of keys) {
      if (this.#flaw !== 'lists on after an abort') signal.throwIfAborted();
      yield key;
    }
  }

  async *watch(key: string, { signal }: { signal: AbortSignal }): AsyncGenerator<void> {
    if (this.#flaw !== 'watches on after an abort' && this.#flaw !== 'ends quietly when aborted')
      signal.throwIfAborted();
    let isChanged = this.#flaw !== 'does not say that it listens';
    let wake: (() => void) | undefined;
    const mine = this.#column(key);
    const listener = (column: string): void => {
      const isMine = this.#flaw === 'watches by pattern' ? /^[a-z]+$/.test(mine) && column === mine : column === mine;
      if (!isMine || (wake === undefined && this.#flaw === 'hears only while it is asked')) return;
      isChanged = true;
      wake?.();
    };
    this.#shared.listeners.add(listener);
    const aborted = abortOf(signal);
    aborted.catch(() => undefined);
    try {
      for (;;) {
        const changed = new Promise<void>((resolve) => {
          wake = resolve;
        });
        if (isChanged) wake?.();
        if (this.#flaw === 'watches on after an abort') await changed;
        else if (this.#flaw === 'ends quietly when aborted') {
          if (signal.aborted) return;
          await Promise.race([changed, aborted.catch(() => undefined)]);
          if (signal.aborted) return;
        } else await Promise.race([changed, aborted]);
        isChanged = false;
        wake = undefined;
        yield;
      }
    } finally {
      this.#shared.listeners.delete(listener);
      if (this.#flaw === 'never ends when left' && !signal.aborted) await new Promise(() => undefined);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #open(): void {
    if (this.#isClosed && this.#flaw === 'stays closed') throw new Error('closed');
  }

  #column(key: string): string {
    if (this.#flaw === 'ends keys at NUL') return key.split('\0', 1)[0] as string;
    if (this.#flaw === 'folds the case of keys') return key.toLowerCase();
    if (this.#flaw === 'writes keys as UTF-8') return new TextDecoder().decode(new TextEncoder().encode(key));
    if (this.#flaw === 'cuts long keys') return key.slice(0, 255);
    return this.#flaw === 'normalises paths' ? key.replaceAll(/\/+$|^\/+/g, '') : key;
  }

  #revision(column: string, value: string): string {
    const { writes } = this.#shared;
    this.#shared.total++;
    writes.set(column, (writes.get(column) ?? 0) + 1);
    if (this.#flaw === 'revises by content') return hash(value);
    const isCounted =
      this.#flaw === 'counts revisions per key' || this.#flaw === 'starts to count again after a removal';
    // No harm as such: it becomes one where a count starts again.
    if (this.#flaw === 'counts revisions per key') return String(this.#shared.rows.size);
    return isCounted ? String(writes.get(column)) : String(this.#shared.total);
  }
}

/** A bench of reference stores, all with the same flaw. */
export const referenceBench =
  (abilities: StoreAbilities, flaw?: StoreFlaw, onEnd: (what: string) => void = () => undefined) =>
  (): StoreBench => {
    const shared = new Shared();
    return {
      open() {
        const store = new ReferenceStore(shared, abilities, flaw);
        const close = store.close.bind(store);
        store.close = () => {
          onEnd('store');
          return close();
        };
        return store;
      },
      close: () => onEnd('bench'),
    };
  };

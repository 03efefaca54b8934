/// <reference lib="esnext.disposable" preserve="true" />
import { onAbort, refuseType, withoutHalf } from '@chunks/base';
import type { VersionedStore } from '../store.ts';

/** A key of two parts: the one of all records here, and the one of this record. */
export type DenoKvKey = readonly [string, string];

interface DenoKvEntry {
  readonly key: readonly unknown[];
  readonly value: unknown;
  readonly versionstamp: string | null;
}

/** One transaction, as far as it is used here. */
export interface DenoKvAtomic {
  check(check: { key: DenoKvKey; versionstamp: string | null }): DenoKvAtomic;
  set(key: DenoKvKey, value: Uint8Array): DenoKvAtomic;
  delete(key: DenoKvKey): DenoKvAtomic;
  commit(): Promise<{ ok: true; versionstamp: string } | { ok: false }>;
}

/** The part of `Deno.Kv` that is used: of Deno itself, or of the package `@deno/kv`. */
export interface DenoKvClient {
  get(key: DenoKvKey, options: { consistency: 'strong' }): Promise<DenoKvEntry>;
  atomic(): DenoKvAtomic;
  list(
    selector: { prefix: readonly [string]; start: DenoKvKey },
    options: { consistency: 'strong' },
  ): AsyncIterable<DenoKvEntry>;
  watch(keys: readonly [DenoKvKey], options: { raw: true }): ReadableStream<unknown>;
}

// The first part of every key.
const SPACE = 'chunks_state';
// 65,536 bytes, and no more, of a Uint8Array, which is stored as it is; of a string, half as much where one letter is
// beyond Latin-1.
const MAX_VALUE_BYTES = 65_536;
// Of 2,048 bytes, two for each part of a key and twelve for the first; NUL is stored as two, and so is what is escaped.
const MAX_KEY_BYTES = (2_048 - 2 - SPACE.length - 2) / 2;

// Lone surrogates would all become U+FFFD. So escaped, they sort elsewhere, but prefixes stay prefixes.
const escaped = (key: string): string =>
  key.replace(/[\\\p{Surrogate}]/gu, (unit) => (unit === '\\' ? '\\\\' : `\\u${unit.charCodeAt(0).toString(16)}`));
const unescaped = (part: string): string =>
  part.replace(/\\(?:\\|u([0-9a-f]{4}))/g, (_, hex) =>
    hex === undefined ? '\\' : String.fromCharCode(Number.parseInt(hex, 16)),
  );
const keyOf = (key: string): DenoKvKey => [SPACE, escaped(key)];

/**
 * Records in Deno KV, under `['chunks_state', key]`, each the UTF-8 bytes of its JSON. Every write is one transaction
 * with one check; every read is strongly consistent. The caller opens and closes the database.
 *
 * - On a local file, which is SQLite, several processes may write; `watch` sees the writes of its own process only. A
 *   server (Deno Deploy, `denokv`) tells a `watch` of every process.
 * - An acknowledged write survives the end of the process; whether also a power cut is for the database to say.
 * - A value may have 65,536 bytes, a key 1,016.
 * - The revision is Deno's versionstamp, which counts up over the whole database and never stays the same. Let no
 *   process run while a backup is put in its place: it would count the same numbers again.
 *
 * @throws TypeError when `kv` has no `atomic`.
 * @example
 * const kv = await Deno.openKv();
 * const state = createState({ store: denoKvStore(kv), initial: () => ({ count: 0 }) });
 */
export function denoKvStore(kv: DenoKvClient): VersionedStore {
  if (typeof kv?.atomic !== 'function') refuseType('kv', 'a Deno.Kv', kv);
  const strong = { consistency: 'strong' } as const;
  return {
    name: 'deno-kv',
    capabilities: {
      watch: true,
      list: true,
      remove: true,
      durable: 'async',
      maxValueBytes: MAX_VALUE_BYTES,
      maxKeyBytes: MAX_KEY_BYTES,
    },
    read: async (key) => {
      const { value, versionstamp } = await kv.get(keyOf(key), strong);
      return versionstamp === null
        ? undefined
        : { value: new TextDecoder().decode(value as Uint8Array), revision: versionstamp };
    },
    write: async (key, value, expected) => {
      const at = keyOf(key);
      const bytes = new TextEncoder().encode(value);
      const done = await kv
        .atomic()
        .check({ key: at, versionstamp: expected ?? null })
        .set(at, bytes)
        .commit();
      return done.ok ? { revision: done.versionstamp } : { conflict: true };
    },
    remove: async (key, expected) => {
      const at = keyOf(key);
      return (await kv.atomic().check({ key: at, versionstamp: expected }).delete(at).commit()).ok;
    },
    async *list(prefix, { signal }) {
      signal.throwIfAborted();
      // A prefix that ends in the middle of a letter: the letter is not escaped, and what follows may be its other half.
      const whole = withoutHalf(prefix);
      const start = escaped(whole);
      for await (const entry of kv.list({ prefix: [SPACE], start: [SPACE, start] }, strong)) {
        signal.throwIfAborted();
        const part = entry.key[1] as string;
        if (!part.startsWith(start)) return;
        const key = unescaped(part);
        if (key.startsWith(prefix)) yield key;
      }
    },
    async *watch(key, { signal }) {
      signal.throwIfAborted();
      // Raw: all implementations then tell at once what is there, also when that is nothing.
      const reader = kv.watch([keyOf(key)], { raw: true }).getReader();
      const unlink = onAbort(signal, () => void reader.cancel().catch(() => undefined));
      try {
        for (;;) {
          const { done } = await reader.read();
          signal.throwIfAborted();
          if (done) throw new Error('Deno KV has ended the watch');
          yield;
        }
      } finally {
        unlink();
        // Not waited for: one that hangs must not hold up whoever leaves.
        void reader.cancel().catch(() => undefined);
      }
    },
  };
}

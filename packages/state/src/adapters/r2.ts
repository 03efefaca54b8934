/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Records in an R2 bucket through a Worker's binding: one object a key.
 * @module
 */
import { checkFunction } from '@chunks/base';
import { MAX_OBJECT_VALUE_BYTES, ObjectNames, stamped, unstamped } from '../object-records.ts';
import type { VersionedStore } from '../store.ts';

/** What is called of an R2 binding: an `R2Bucket` has this shape. */
export interface R2StoreBucket {
  get(name: string): Promise<{ readonly etag: string; text(): Promise<string> } | null>;
  /** null: the condition did not hold, and nothing was written. */
  put(
    name: string,
    content: string,
    options: {
      onlyIf: { etagMatches: string } | { etagDoesNotMatch: '*' };
      httpMetadata: { contentType: string };
    },
  ): Promise<{ readonly etag: string } | null>;
  list(options: { prefix: string; cursor?: string }): Promise<{
    readonly objects: readonly { readonly key: string }[];
    readonly truncated: boolean;
    readonly cursor?: string;
  }>;
}

/** How {@link r2Store} names its objects. */
export interface R2StoreOptions {
  /** Before the names of all objects: letters, digits and `_-./`, at most 200. @default 'state/' */
  prefix?: string | undefined;
}

/**
 * Records in an R2 bucket, by the binding of a Worker.
 *
 * One object a key, `<prefix><key>.json`, a JSON document that any tool can read, and `s3Store` too, where R2 is reached
 * over S3. A read is one `get`, a write one `put`, a listing one `list` for each 1,000 keys. What was acknowledged
 * survives a power cut; reads see it at once. R2 takes about one write a second for one object (error 10058): with
 * several Workers on one key set `retry: { maxMs: 2_000 }`, and `maxAttempts`, for who lost has to read first. It cannot
 * remove on condition, so deleted records leave their tombstones behind. Keys may have `capabilities.maxKeyBytes`, 337
 * with the default prefix: R2 takes names of 1,024 bytes, and what is no letter, digit or one of `._-` takes three. A
 * binding takes no signal: a call that is cut may still arrive, and does no harm then.
 *
 * @throws TypeError | RangeError when `bucket` is none or `prefix` not plain.
 * @example
 * const state = createState({ store: r2Store(env.BUCKET), initial: () => ({ count: 0 }) });
 */
export function r2Store(bucket: R2StoreBucket, options: R2StoreOptions = {}): VersionedStore {
  for (const call of ['get', 'put', 'list'] as const) checkFunction(`bucket.${call}`, bucket?.[call]);
  const names = new ObjectNames(options.prefix);
  return {
    name: 'r2',
    capabilities: {
      watch: false,
      list: true,
      remove: false,
      durable: 'sync',
      maxValueBytes: MAX_OBJECT_VALUE_BYTES,
      maxKeyBytes: names.maxKeyBytes,
    },
    async read(key) {
      const object = await bucket.get(names.of(key));
      return object ? { value: unstamped(await object.text()), revision: object.etag } : undefined;
    },
    async write(key, value, expected) {
      const put = await bucket.put(names.of(key), stamped(value), {
        onlyIf: expected === undefined ? { etagDoesNotMatch: '*' } : { etagMatches: expected },
        httpMetadata: { contentType: 'application/json' },
      });
      return put ? { revision: put.etag } : { conflict: true };
    },
    async *list(keys, { signal }) {
      const prefix = names.start(keys);
      for (let cursor: string | undefined; ; ) {
        signal.throwIfAborted();
        const page = await bucket.list({ prefix, ...(cursor !== undefined && { cursor }) });
        for (const object of page.objects) {
          const key = names.keyOf(object.key);
          if (key?.startsWith(keys)) yield key;
        }
        if (!page.truncated) return;
        cursor = page.cursor;
      }
    },
  };
}

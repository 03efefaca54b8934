import type { VersionedStore } from '@chunks/state';
import { type KV, Kvm, type KvOptions } from '@nats-io/kv';
import { connect, type NatsConnection } from '@nats-io/transport-node';

/** Buckets of a test's own, which are gone afterwards. */
export class Buckets {
  readonly connection: NatsConnection;
  readonly #names: string[] = [];

  private constructor(connection: NatsConnection) {
    this.connection = connection;
  }

  static async on(port: number): Promise<Buckets> {
    return new Buckets(await connect({ port }));
  }

  newName(): string {
    const name = `test-${crypto.randomUUID()}`;
    this.#names.push(name);
    return name;
  }

  make(options: Partial<KvOptions> = {}, name: string = this.newName()): Promise<KV> {
    return new Kvm(this.connection).create(name, { storage: 'memory', ...options });
  }

  async close(): Promise<void> {
    const kvm = new Kvm(this.connection);
    for (const name of this.#names) await (await kvm.open(name)).destroy().catch(() => undefined);
    await this.connection.close();
  }
}

const { signal } = new AbortController();

/** A write that has to succeed. @returns its revision */
export async function put(store: VersionedStore, key: string, value: string, expected?: string): Promise<string> {
  const reply = await store.write(key, value, expected, { signal });
  if ('conflict' in reply) throw new Error('conflict');
  return reply.revision;
}

/** All keys with the prefix, sorted. */
export async function listed(store: VersionedStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.list?.(prefix, { signal }) ?? []) keys.push(key);
  return keys.sort();
}

/** A watch. */
export const ticksOf = (store: VersionedStore, key: string, until: AbortSignal = signal): AsyncIterator<void> => {
  if (store.watch === undefined) throw new Error('no watch');
  return store.watch(key, { signal: until })[Symbol.asyncIterator]();
};

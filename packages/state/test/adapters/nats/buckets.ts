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

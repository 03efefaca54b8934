/** One version of a record of the bucket; the client's own has more. */
export interface NatsKvEntry {
  readonly key: string;
  readonly revision: number;
  /** `PUT`; anything else is the trace of a record that was removed. */
  readonly operation: string;
  /** Of a watch: so many more were to come when it was sent. */
  readonly delta?: number | undefined;
  string(): string;
}

/** A watch of the client. */
export interface NatsKvEntries extends AsyncIterable<NatsKvEntry> {
  stop(): void;
}

/** What a bucket keeps, and how. */
export interface NatsBucketStatus {
  readonly ttl: number;
  readonly maxValueSize: number;
  readonly streamInfo: {
    readonly config: {
      readonly allow_direct?: boolean | undefined;
      readonly discard: string;
      readonly max_bytes: number;
      readonly max_msgs: number;
      readonly mirror?: unknown;
    };
  };
}

/** What is asked of a bucket; `KV` of `@nats-io/kv` 3.x fits. */
export interface NatsKv {
  get(key: string): Promise<NatsKvEntry | null>;
  put(key: string, value: string, o: { previousSeq: number }): Promise<number>;
  purge(key: string, o: { previousSeq: number }): Promise<void>;
  watch(o: { key: string; include: '' | 'updates'; headers_only: boolean }): Promise<NatsKvEntries>;
  status(): Promise<NatsBucketStatus>;
}

/** What the client's connection tells. */
export interface NatsConnectionNews {
  status(): AsyncIterable<{ readonly type: string }> & { stop(): void };
  readonly info?: { readonly max_payload: number } | undefined;
}

/** The consumer behind a watch. */
export interface NatsConsumer {
  info(cached: boolean): Promise<{ readonly num_pending: number }>;
  delete(): Promise<unknown>;
}

// The client has these, and its types do not show them. All that is built on one of them is refused where it is missing.
interface Inside {
  readonly direct?: unknown;
  readonly js?: { readonly nc?: Partial<NatsConnectionNews> };
}

/** The bucket's connection. A bucket alone says nothing when that breaks. */
export function newsOf(kv: NatsKv): NatsConnectionNews | undefined {
  const connection = (kv as Inside).js?.nc;
  return typeof connection?.status === 'function' ? (connection as NatsConnectionNews) : undefined;
}

/** The consumer behind a watch, which the client leaves to the server for five minutes after the watch has ended. */
export function consumerOf(entries: NatsKvEntries): NatsConsumer {
  const { _data: consumer } = entries as { _data?: Partial<NatsConsumer> };
  if (typeof consumer?.info === 'function' && typeof consumer.delete === 'function') return consumer as NatsConsumer;
  throw new Error('this version of @nats-io/kv does not show the consumer behind a watch');
}

/** The same bucket, read from the leader of its stream. Undefined: it cannot be told from where reads are served. */
export function leaderOf(kv: NatsKv): NatsKv | undefined {
  const { direct } = kv as Inside;
  if (direct === false) return kv;
  // Of buckets that were made with `allow_direct`, which is the default, replicas and mirrors answer too, with what they
  // have by then. The client decides by this flag, which is set aside here for our own reads alone.
  return direct === true ? Object.create(kv, { direct: { value: false } }) : undefined;
}

const WRONG_REVISION: readonly unknown[] = [10_071, 10_164];
const TOO_LARGE = 10_054;
// Nobody listens (no JetStream, no bucket), or the server forbids it; insufficient memory, storage, resources.
const REFUSED: readonly unknown[] = ['JetStreamNotEnabled', 'PermissionViolationError', 10_023, 10_028, 10_047];

type Fields = { code?: unknown; name?: unknown; message?: unknown; cause?: unknown } | undefined;

/** Whether the server refused a write because it was built on another revision. */
export const isConflict = (error: unknown): boolean => WRONG_REVISION.includes((error as Fields)?.code);

/** Says in the error that nothing was written, where that is sure. @param limit of a value, in bytes */
export function marked(error: unknown, limit: () => number | undefined): unknown {
  const { code, name, message, cause } = (error as Fields) ?? {};
  // The client itself refuses what is too large for its server.
  if (code === TOO_LARGE || (name === 'InvalidArgumentError' && `${message}`.includes('max_payload'))) {
    const fields = { code: 'VALUE_TOO_LARGE', limit: limit(), definite: true };
    return Object.assign(new Error(`${message}`, { cause: error }), fields);
  }
  const isRefused =
    [name, code, (cause as Fields)?.name].some((one) => REFUSED.includes(one)) ||
    // A limit of the whole bucket. Other failures to store may be of one replica only.
    /^maximum [\w ]+ exceeded$/.test(`${message}`);
  if (isRefused) Object.assign(error as object, { definite: true });
  return error;
}

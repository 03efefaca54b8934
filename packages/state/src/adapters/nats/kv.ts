/** One version of a record of the bucket; the client's own has more. */
export interface NatsKvEntry {
  readonly key: string;
  readonly revision: number;
  /** `PUT`; anything else is the trace of a record that was removed. */
  readonly operation: string;
  /** What the key is called on the server: the same, unless the bucket was opened with a codec. */
  readonly rawKey: string;
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
  readonly replicas: number;
  readonly streamInfo: {
    readonly config: {
      readonly allow_direct?: boolean | undefined;
      readonly name: string;
      readonly subjects?: readonly string[] | undefined;
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
  watch(o: { key: string; include: 'updates'; headers_only: boolean }): Promise<NatsKvEntries>;
  status(): Promise<NatsBucketStatus>;
}

/** What the client's connection tells. */
export interface NatsConnectionNews {
  status(): AsyncIterable<{ readonly type: string }> & { stop(): void };
  readonly info?: { readonly max_payload: number } | undefined;
}

/** Names of entries by stream and subject, marks of removals included. */
interface NatsStreams {
  info(
    stream: string,
    o: { subjects_filter: string },
  ): Promise<{ readonly state: { readonly subjects?: Readonly<Record<string, number>> | undefined } }>;
}

// The client has these, and its types do not show them. All that is built on one of them is refused where it is missing.
interface Inside {
  readonly direct?: unknown;
  readonly js?: { readonly nc?: Partial<NatsConnectionNews> };
  readonly jsm?: { readonly streams?: Partial<NatsStreams> };
}

/** What is asked for a list. A watch does not do: it passes over what is written while it runs. */
export function streamsOf(kv: NatsKv): NatsStreams | undefined {
  const streams = (kv as Inside).jsm?.streams;
  return typeof streams?.info === 'function' ? (streams as NatsStreams) : undefined;
}

/** The bucket's connection. A bucket alone says nothing when that breaks. */
export function newsOf(kv: NatsKv): NatsConnectionNews | undefined {
  const connection = (kv as Inside).js?.nc;
  return typeof connection?.status === 'function' ? (connection as NatsConnectionNews) : undefined;
}

/** Takes the consumer behind a watch away, which the client leaves to the server for five minutes more. */
export async function forgetConsumer(entries: NatsKvEntries): Promise<void> {
  const { _data: consumer } = entries as { _data?: { delete?(): Promise<unknown> } };
  // What cannot be taken away now is left to the server.
  await consumer?.delete?.().catch(() => undefined);
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
// No memory, no storage, no resources left. Of several replicas the others may have some.
const NO_ROOM: readonly unknown[] = [10_023, 10_028, 10_047];

type Fields = { code?: unknown; name?: unknown; message?: unknown } | undefined;

/** Whether the server refused a write because it was built on another revision. */
export const isConflict = (error: unknown): boolean => WRONG_REVISION.includes((error as Fields)?.code);

/**
 * Says in the error that nothing was written, where that is sure.
 * @param o the limit of a value, in bytes; whether the bucket has no replicas
 */
export function marked(error: unknown, o: { limit: number | undefined; isAlone: boolean }): unknown {
  const { code, name, message } = (error as Fields) ?? {};
  // The client itself refuses what is too large for its server.
  if (code === TOO_LARGE || (name === 'InvalidArgumentError' && `${message}`.includes('max_payload'))) {
    const fields = { code: 'VALUE_TOO_LARGE', limit: o.limit, definite: true };
    return Object.assign(new Error(`${message}`, { cause: error }), fields);
  }
  const isRefused =
    // Nobody listens: there is no such bucket, or no JetStream.
    name === 'JetStreamNotEnabled' ||
    // A limit of the bucket. Other failures to store may be of one replica only.
    /^maximum [\w ]+ exceeded$/.test(`${message}`) ||
    (o.isAlone && NO_ROOM.includes(code));
  if (isRefused) Object.assign(error as object, { definite: true });
  return error;
}

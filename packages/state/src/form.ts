import { type Codec, checkObject, isThenable } from './codec.ts';
import type { Base } from './envelope.ts';
import { CorruptRecordError, InvalidStateError } from './errors.ts';
import { describeIssues, type SchemaResult, type StandardSchema } from './schema.ts';
import type { StateOptions } from './types.ts';

/** A record's state as it is to be worked on. */
export interface Opened {
  /** In the present shape, as the schema gave it. */
  readonly json: string;
  /** A fresh object of it, where one came along. */
  readonly state: object | undefined;
}

/** What states of one `createState` look like: their codec, their shape, their schema. */
export class Form {
  readonly shape: number;
  readonly schema: StandardSchema<object> | undefined;
  readonly #codec: Codec<object>;
  readonly #initial: () => object;
  readonly #migrate: Readonly<Record<number, (old: unknown) => unknown>>;
  /** Whether the schema was seen to answer with promises. */
  #waits = false;

  constructor(o: {
    codec: Codec<object>;
    initial: () => object;
    shape?: StateOptions<object>['shape'];
    schema?: StandardSchema<object> | undefined;
  }) {
    this.#codec = o.codec;
    this.#initial = o.initial;
    this.#migrate = o.shape?.migrate ?? {};
    this.shape = o.shape?.version ?? 0;
    this.schema = o.schema;
  }

  /** @throws LossyStateError */
  encode(key: string, state: object): string {
    return this.#codec.encode(key, state);
  }

  /** A fresh object each time. @param json in the present shape @throws CorruptRecordError | InvalidStateError */
  decode(key: string, json: string): object {
    let parsed: unknown;
    try {
      parsed = JSON.parse(json);
    } catch (cause) {
      // Cut out of a record in which a field stands twice, which nobody here has written.
      throw new CorruptRecordError({ key, cause });
    }
    return this.#codec.revive(key, parsed);
  }

  /** A record's state, migrated and checked; `initial()` where there is none. @throws InvalidStateError | LossyStateError */
  open(key: string, base: Base): Opened | Promise<Opened> {
    const { json, parsed, shape } = base;
    // It belongs to whoever works on it.
    base.parsed = undefined;
    const asStored = json !== undefined && shape === this.shape;
    if (asStored && this.schema === undefined) return { json, state: parsed && this.#codec.revive(key, parsed.state) };
    let state: object;
    if (json === undefined) state = checkObject(key, this.#initial());
    else state = this.#migrated(key, shape, this.#codec.revive(key, parsed ? parsed.state : JSON.parse(json)));
    // Through its text, for what `initial`, a step or a schema gave may be held by somebody else.
    if (this.schema === undefined) return opened(this.encode(key, state));
    const checked = this.checked(key, state, json === undefined ? 'initial()' : 'the stored state');
    return isThenable(checked) ? checked.then(opened) : opened(checked);
  }

  /** The text of a state as the schema gives it. @throws InvalidStateError | LossyStateError */
  checked(key: string, state: object, whose: string): string | Promise<string> {
    const { validate } = (this.schema as StandardSchema<object>)['~standard'];
    const take = (result: SchemaResult<object>): string => {
      const { issues } = result;
      if (issues === undefined) return this.encode(key, checkObject(key, result.value));
      throw new InvalidStateError({ key, why: `${whose}: ${describeIssues(issues)}`, issues });
    };
    if (!this.#waits) {
      const answer = validate(state);
      if (!isThenable(answer)) return take(answer);
      this.#waits = true;
      answer.then(undefined, () => undefined);
    }
    // Of a copy: others may hold the state, and change it while the schema waits.
    return Promise.resolve(validate(this.decode(key, this.encode(key, state)))).then(take);
  }

  #migrated(key: string, from: number, old: object): object {
    let state: unknown = old;
    if (from > this.shape)
      throw new InvalidStateError({ key, why: `the stored state has shape ${from}, written by a newer version` });
    for (let shape = from; shape < this.shape; shape++) {
      const why = `shape.migrate[${shape}] made no state of the stored one`;
      const step = this.#migrate[shape];
      if (step === undefined) throw new InvalidStateError({ key, why: `there is no shape.migrate[${shape}]` });
      try {
        state = step(state);
      } catch (cause) {
        throw new InvalidStateError({ key, why, cause });
      }
      if (typeof state !== 'object' || state === null || isThenable(state)) throw new InvalidStateError({ key, why });
    }
    return state as object;
  }
}

const opened = (json: string): Opened => ({ json, state: undefined });

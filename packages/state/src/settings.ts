import {
  checkFunction,
  checkInteger,
  checkNumber,
  checkOneOf,
  exponentialBackoff,
  refuseType,
  systemClock,
} from '@chunks/base';
import { type Codec, codecOf } from './codec.ts';
import { Form } from './form.ts';
import { Counters, type LaneSettings } from './lane.ts';
import type { StandardSchema } from './schema.ts';
import { StoreCalls } from './store-calls.ts';
import type { StateOptions } from './types.ts';

/** What can be given to `createState`. */
export type Options<T extends object> = StateOptions<T> & { schema?: StandardSchema<T> | undefined };

/** What follows from options alone. */
export type Settings = Omit<LaneSettings, 'newWriteId' | 'arrivals'> & {
  readonly maxPending: number;
  readonly maxKeyBytes: number;
};

/** Options, checked, with their defaults. @throws TypeError | RangeError naming option, rule and value */
export function settingsOf<T extends object>(options: Options<T>): Settings {
  const { store, retry = {}, coalesce = {}, remember = {} } = options;
  if (typeof store?.read !== 'function' || typeof store.write !== 'function')
    refuseType('store', 'a VersionedStore', store);
  const clock = options.clock ?? systemClock;
  const baseMs = checkNumber('retry.baseMs', retry.baseMs ?? 2, 0.001);
  const maxMs = checkNumber('retry.maxMs', retry.maxMs ?? 200, baseMs);
  const jitter = checkOneOf('retry.jitter', retry.jitter ?? 'full', ['full', 'decorrelated', 'none']);
  const { random = Math.random } = options;
  checkFunction('random', random);
  const attemptTimeoutMs = checkNumber('attemptTimeoutMs', options.attemptTimeoutMs ?? 5_000, 1);
  const batching = coalesce === false ? { maxBatch: 1 } : coalesce;
  return {
    calls: new StoreCalls({ store, clock, attemptTimeoutMs }),
    fold: {
      form: formOf(options),
      remember: {
        commits: checkInteger('remember.commits', remember.commits ?? 64, 1),
        keys: checkInteger('remember.keys', remember.keys ?? 256, 1),
        maxBytes: checkInteger('remember.maxBytes', remember.maxBytes ?? 16_384, 64),
      },
      maxValueBytes: store.capabilities.maxValueBytes ?? Number.POSITIVE_INFINITY,
      now: () => clock.now(),
    },
    clock,
    random,
    backoff: exponentialBackoff({ baseMs, maxMs, jitter }),
    baseMs,
    maxMs,
    spreadMs: checkNumber('retry.spreadMs', retry.spreadMs ?? 0, 0),
    maxBatch: checkInteger('coalesce.maxBatch', batching.maxBatch ?? 1_000, 1),
    maxPending: checkInteger('coalesce.maxPending', batching.maxPending ?? 100_000, 1),
    maxKeyBytes: store.capabilities.maxKeyBytes ?? Number.POSITIVE_INFINITY,
    stats: new Counters(),
  };
}

function formOf<T extends object>({ initial, codec, shape, schema }: Options<T>): Form {
  checkFunction('initial', initial);
  if (codec !== undefined) {
    checkFunction('codec.encode', codec.encode);
    checkFunction('codec.decode', codec.decode);
  }
  if (schema !== undefined) checkFunction("schema['~standard'].validate", schema?.['~standard']?.validate);
  if (shape !== undefined) {
    checkInteger('shape.version', shape.version, 0);
    if (typeof shape.migrate !== 'object') refuseType('shape.migrate', 'an object of functions', shape.migrate);
    for (const [from, step] of Object.entries(shape.migrate)) checkFunction(`shape.migrate[${from}]`, step);
  }
  return new Form({ codec: codecOf(codec) as unknown as Codec<object>, initial, shape, schema });
}

import { refuseType } from '@chunks/base';
import { InvalidStateError, LossyStateError } from './errors.ts';
import type { StateOptions } from './types.ts';

/** Between states and the JSON that stands for them in a record. */
export interface Codec<T> {
  /** @throws LossyStateError */
  encode(key: string, state: T): string;
  /** A fresh object each time. @throws InvalidStateError */
  decode(key: string, json: string): T;
}

const isPlain = (value: object): boolean => {
  // By depth and not by identity, so that objects of another realm pass.
  let above = Object.getPrototypeOf(value);
  if (Array.isArray(value)) above = above && Object.getPrototypeOf(above);
  return above === null || Object.getPrototypeOf(above) === null;
};

const step = (key: PropertyKey): string =>
  typeof key === 'string' && /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key)
    ? `.${key}`
    : `[${typeof key === 'string' && !/^\d+$/.test(key) ? JSON.stringify(key) : String(key)}]`;

/** The path to the first thing that JSON would drop or change; undefined when there is none. */
export function lossyPath(value: unknown, above: Set<object> = new Set()): string | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0) ? undefined : '';
  if (typeof value !== 'object' || above.has(value) || !isPlain(value)) return '';
  above.add(value);
  const array = Array.isArray(value);
  const keys = Reflect.ownKeys(value);
  for (let i = 0; i < (array ? value.length : keys.length); i++) {
    const key = array ? String(i) : (keys[i] as PropertyKey);
    // A symbol, a hidden property or a hole is never written.
    if (typeof key === 'symbol' || !Object.prototype.propertyIsEnumerable.call(value, key)) return step(key);
    const inner = lossyPath((value as Record<PropertyKey, unknown>)[key], above);
    if (inner !== undefined) return step(key) + inner;
  }
  above.delete(value);
  // An array's own keys are its items and `length`; anything more would be dropped.
  return array && keys.length > value.length + 1
    ? step(keys.find((key, i) => i >= value.length && key !== 'length') ?? '')
    : undefined;
}

/** JSON of a value that JSON keeps whole. @param root how the path in the error begins @throws LossyStateError */
export function encodeJson(key: string, value: unknown, root: string): string {
  let path: string | undefined;
  try {
    path = lossyPath(value);
    if (path === undefined) return JSON.stringify(value);
  } catch (cause) {
    // Nested deeper than the stack reaches.
    throw new LossyStateError({ key, path: root, cause });
  }
  throw new LossyStateError({ key, path: root + path });
}

const checkString = (text: unknown): string =>
  typeof text === 'string' ? text : refuseType('codec.encode', 'a function to a string', text);

const checked = <T>(key: string, state: unknown, cause?: unknown): T => {
  if (typeof state === 'object' && state !== null) return state as T;
  throw new InvalidStateError({ key, why: 'the codec made no object of it', cause });
};

/** The user's codec, its text as a JSON string; or JSON itself, standing in the record as it is. */
export function codecOf<T extends object>(own: StateOptions<T>['codec']): Codec<T> {
  if (own === undefined) {
    return {
      encode: (key, state) => encodeJson(key, state, 'state'),
      decode: (key, json) => checked(key, JSON.parse(json)),
    };
  }
  return {
    encode: (key, state) => {
      try {
        return JSON.stringify(checkString(own.encode(state)));
      } catch (cause) {
        throw new LossyStateError({ key, path: 'state', cause });
      }
    },
    decode: (key, json) => {
      let state: unknown;
      let problem: unknown;
      try {
        const text: unknown = JSON.parse(json);
        // Anything but a text was written by another codec.
        if (typeof text === 'string') state = own.decode(text);
      } catch (cause) {
        problem = cause;
      }
      return checked(key, state, problem);
    },
  };
}

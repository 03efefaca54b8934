import { refuseType } from '@chunks/base';
import { InvalidStateError, LossyStateError } from './errors.ts';
import type { StateOptions } from './types.ts';

/** Between states and the JSON that stands for them in a record. */
export interface Codec<T> {
  /** @throws LossyStateError */
  encode(key: string, state: T): string;
  /** From what `JSON.parse` made of that text, which becomes part of the state. @throws InvalidStateError */
  revive(key: string, parsed: unknown): T;
}

/** Whether JSON brings back the like of it: an object without a class, or a list. */
export const isPlain = (value: object): boolean => {
  let above = Object.getPrototypeOf(value);
  if (above === Object.prototype) return true;
  // By depth and not by identity, so that objects of another realm pass.
  if (Array.isArray(value)) above = above && Object.getPrototypeOf(above);
  return above === null || Object.getPrototypeOf(above) === null;
};

const step = (key: PropertyKey): string =>
  typeof key === 'string' && /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key)
    ? `.${key}`
    : `[${typeof key === 'string' && !/^\d+$/.test(key) ? JSON.stringify(key) : String(key)}]`;

/**
 * The path to the first thing that JSON would drop or change; undefined when there is none.
 * @param above what it stands in, to find cycles; null for what is known to have none
 */
export function lossyPath(value: unknown, above: Set<object> | null = new Set()): string | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0) ? undefined : '';
  if (typeof value !== 'object' || above?.has(value) || !isPlain(value)) return '';
  above?.add(value);
  const inside = Array.isArray(value) ? lossyItem(value, above) : lossyField(value, above);
  above?.delete(value);
  return inside;
}

function lossyField(value: object, above: Set<object> | null): string | undefined {
  let count = 0;
  // In no other way are fields looked at so fast.
  for (const name in value) {
    const inner = lossyPath((value as Record<string, unknown>)[name], above);
    if (inner !== undefined && Object.hasOwn(value, name)) return step(name) + inner;
    count++;
  }
  if (Object.getOwnPropertyNames(value).length === count && Object.getOwnPropertySymbols(value).length === 0)
    return undefined;
  // A symbol or a hidden property is never written.
  const isWritten = (key: PropertyKey): boolean =>
    typeof key === 'string' && Object.prototype.propertyIsEnumerable.call(value, key);
  const odd = Reflect.ownKeys(value).find((key) => !isWritten(key));
  return odd === undefined ? undefined : step(odd);
}

function lossyItem(list: readonly unknown[], above: Set<object> | null): string | undefined {
  for (let i = 0; i < list.length; i++) {
    // A hole reads as undefined.
    const inner = lossyPath(list[i], above);
    if (inner !== undefined) return step(String(i)) + inner;
  }
  // Its own keys are its items and `length`; anything more would be dropped.
  const all = Reflect.ownKeys(list);
  return all.length > list.length + 1
    ? step(all.find((key, i) => i >= list.length && key !== 'length') ?? '')
    : undefined;
}

/** JSON of a value that JSON keeps whole. @param root how the path in the error begins @throws LossyStateError */
export function encodeJson(key: string, value: unknown, root: string): string {
  let path = '';
  let problem: unknown;
  try {
    // First, because it throws at cycles: what is left has none.
    const json = JSON.stringify(value);
    if (lossyPath(value, null) === undefined) return json;
  } catch (cause) {
    problem = cause;
  }
  try {
    path = lossyPath(value) ?? '';
  } catch (cause) {
    // Nested deeper than the stack reaches.
    problem = cause;
  }
  throw new LossyStateError({ key, path: root + path, cause: problem });
}

const checkString = (text: unknown): string =>
  typeof text === 'string' ? text : refuseType('codec.encode', 'a function to a string', text);

export const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | null | undefined)?.then === 'function';

/** @throws InvalidStateError, also for a promise: a codec of one's own might write it as an empty object */
export const checkObject = <T>(key: string, state: unknown, cause?: unknown): T => {
  if (typeof state === 'object' && state !== null && !isThenable(state)) return state as T;
  throw new InvalidStateError({ key, why: `it is ${isThenable(state) ? 'a promise' : 'no object'}`, cause });
};

/** The user's codec, its text as a JSON string; or JSON itself, standing in the record as it is. */
export function codecOf<T extends object>(own: StateOptions<T>['codec']): Codec<T> {
  if (own === undefined) {
    return {
      encode: (key, state) => encodeJson(key, state, 'state'),
      revive: (key, parsed) => checkObject(key, parsed),
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
    revive: (key, text) => {
      let state: unknown;
      let problem: unknown;
      try {
        // Anything but a text was written by another codec.
        if (typeof text === 'string') state = own.decode(text);
      } catch (cause) {
        problem = cause;
      }
      return checkObject(key, state, problem);
    },
  };
}

import { isPlain } from './codec.ts';

type Fields = Record<PropertyKey, unknown>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/**
 * The objects of one draft that nobody else holds. What an updater put there its caller may hold, and put there again in
 * the next attempt: were it left in the draft, the updaters after it would change it under the caller's hands, and what
 * they did would be there already when they run again.
 */
export class OwnObjects {
  /** In which walk each was met last. */
  readonly #met: Map<object, number> = new Map();
  #walk = 0;

  /** @param draft fresh from the codec */
  constructor(draft: object) {
    this.#learn(draft as Fields);
  }

  /**
   * Puts copies in place of what is new, or stands in two places.
   * @returns false when that has to be left to the codec: it may have to refuse it
   */
  adopt(draft: object): boolean {
    this.#walk++;
    try {
      return this.#adopt(draft as Fields);
    } catch {
      // A getter that throws, or nested deeper than the stack reaches.
      return false;
    }
  }

  #learn(value: Fields): void {
    this.#met.set(value, this.#walk);
    for (const inner of Object.values(value)) if (isObject(inner)) this.#learn(inner);
  }

  #adopt(value: Fields): boolean {
    // Nor may it have been frozen for those who come next.
    if (!isPlain(value) || !Object.isExtensible(value)) return false;
    this.#met.set(value, this.#walk);
    if (Array.isArray(value)) {
      // Many times as fast as by name.
      for (let i = 0; i < value.length; i++) if (isObject(value[i]) && !this.#settle(value, i)) return false;
    } else {
      for (const name in value) if (isObject(value[name]) && !this.#settle(value, name)) return false;
    }
    return true;
  }

  #settle(place: Fields | unknown[], name: string | number): boolean {
    const inner = (place as Fields)[name] as Fields;
    const met = this.#met.get(inner);
    if (met !== undefined && met < this.#walk) return this.#adopt(inner);
    const copy = copied(inner, new Set());
    if (copy === undefined) return false;
    this.#learn(copy);
    (place as Fields)[name] = copy;
    return true;
  }
}

/** undefined when something would be lost that the codec must see, such as a class or a hidden property. */
function copied(value: Fields, above: Set<object>): Fields | undefined {
  // Of a list: its items and its length.
  const count = Array.isArray(value) ? value.length + 1 : Object.keys(value).length;
  if (above.has(value) || !isPlain(value) || Reflect.ownKeys(value).length !== count) return undefined;
  above.add(value);
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Fields;
  for (const name of Object.keys(copy)) {
    const inner = copy[name];
    if (!isObject(inner)) continue;
    const own = copied(inner, above);
    if (own === undefined) return undefined;
    copy[name] = own;
  }
  above.delete(value);
  return copy;
}

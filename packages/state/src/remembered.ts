import { encodeJson } from './codec.ts';
import { type Applied, type Base, type Remember, trim } from './envelope.ts';

/** Idempotency keys of one attempt: what the record remembers, and what this commit adds. */
export class Remembered {
  readonly #key: string;
  readonly #base: Base;
  readonly #remember: Remember;
  // Both made when they are needed: most updates have no key.
  #own: Map<string, Applied> | undefined;
  #known: Map<string, Applied> | undefined;

  constructor(key: string, base: Base, remember: Remember) {
    this.#key = key;
    this.#base = base;
    this.#remember = remember;
  }

  /** In the order in which it was added. */
  get own(): readonly Applied[] {
    return [...(this.#own?.values() ?? [])];
  }

  find(idempotencyKey: string | undefined): Applied | undefined {
    if (idempotencyKey === undefined) return undefined;
    this.#known ??= new Map(this.#base.applied.map((applied) => [applied.key, applied]));
    return this.#own?.get(idempotencyKey) ?? this.#known.get(idempotencyKey);
  }

  /** What there will be to remember. @throws LossyStateError | ValueTooLargeError, here and not when it is everybody's fault */
  entry(idempotencyKey: string | undefined, result: unknown): Applied | undefined {
    if (idempotencyKey === undefined) return undefined;
    const entry = { key: idempotencyKey, version: this.#base.version + 1 };
    if (result === undefined) return entry;
    const applied = { ...entry, result: JSON.parse(encodeJson(this.#key, result, 'result')) };
    trim(this.#key, [applied], this.#remember);
    return applied;
  }

  add(applied: Applied | undefined): void {
    if (applied === undefined) return;
    this.#own ??= new Map();
    this.#own.set(applied.key, applied);
  }

  drop(applied: Applied | undefined): void {
    if (applied !== undefined) this.#own?.delete(applied.key);
  }

  clear(): void {
    this.#own = undefined;
  }
}

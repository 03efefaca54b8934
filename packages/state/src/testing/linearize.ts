/** One operation of a history. Starts and ends are read on one clock: ms, or a count of what happened so far. */
export type HistoryOperation<I, O> = {
  /** Operations of one key are checked by themselves. @default '' */
  readonly key?: string | undefined;
  /** Who did it, for explanations. */
  readonly process?: string | number | undefined;
  readonly input: I;
  readonly start: number;
} & (
  | { readonly outcome: 'done'; readonly output: O; readonly end: number }
  /** Failed: surely never applied. Unknown: applied at any time after its start, also after its end, or never. */
  | { readonly outcome: 'failed' | 'unknown'; readonly end?: number | undefined }
);

/** What operations do one after the other. States are plain data, never changed: two are the same if their JSON is. */
export interface SequentialModel<S, I, O> {
  readonly init: S;
  /** @returns the next state, and whether an operation that is done could have had its output here */
  step(state: S, operation: HistoryOperation<I, O>): { readonly state: S; readonly ok: boolean };
  /** Whether it changes nothing wherever its output fits. Makes the search faster. @default false */
  onlyLooks?(operation: HistoryOperation<I, O>): boolean;
  /** Whether its output fits neither this state nor any that may follow. Makes the search faster. @default false */
  isTooLate?(state: S, operation: HistoryOperation<I, O>): boolean;
}

type Done<I, O> = Extract<HistoryOperation<I, O>, { outcome: 'done' }>;

/** Some operations are done, in an order that fits. */
interface Configuration {
  /** So many of the known ones, by start, are all done … */
  readonly prefix: number;
  /** … and of the others these, in rising order. */
  readonly beyond: readonly number[];
  /** A bit for each unknown one that was applied, and their number. */
  readonly applied: bigint;
  readonly level: number;
  /** Its number among the states that were met. */
  readonly state: number;
  readonly from: Configuration | undefined;
  /** What was done last: a known one by its place, an unknown one by its place after all known ones. */
  readonly by: number;
}

const IMPOSSIBLE = -1;

const textOf = (value: unknown): string => JSON.stringify(value) ?? 'undefined';

/**
 * Searches an order of the operations that respects real time and that the model accepts, after Wing and Gong, with
 * Lowe's memory of what was tried. Those that failed must not be among them. What keeps it fast:
 * one that only looks is taken as soon as it fits, for it is in nobody's way; of equals the first to end goes first;
 * who has applied fewer unknown ones can do whatever the other can, so that an unknown one is applied only for the
 * sake of the next.
 */
export class Linearizer<S, I, O> {
  readonly #model: SequentialModel<S, I, O>;
  readonly #known: readonly Done<I, O>[];
  /** The known ones, then the unknown ones, each by start. */
  readonly #operations: readonly HistoryOperation<I, O>[];
  /** Equal for equals: input and output. */
  readonly #kinds: readonly number[];
  readonly #bits: readonly bigint[];
  readonly #states: S[] = [];
  readonly #stateOf: Map<string, number> = new Map();
  /** What was asked of the model, by state and operation. */
  readonly #steps: Map<number, number> = new Map();
  /** By what was done and the state: sets of unknown ones, none of which holds another. */
  readonly #tried: Map<string, bigint[]> = new Map();
  /** To be tried, by the number of known ones done and of unknown ones applied. */
  readonly #open: Configuration[][][] = [];
  #left: number;

  /** @param maxSteps after that it gives up */
  constructor(model: SequentialModel<S, I, O>, operations: readonly HistoryOperation<I, O>[], maxSteps: number) {
    const inOrder = operations.toSorted((a, b) => a.start - b.start);
    const unknown = inOrder.filter(({ outcome }) => outcome === 'unknown');
    this.#model = model;
    this.#known = inOrder.filter((operation) => operation.outcome === 'done');
    this.#operations = [...this.#known, ...unknown];
    const kinds = new Map<string, number>();
    this.#kinds = this.#operations.map((one) => {
      const text = textOf(one.outcome === 'done' ? [one.input, one.output] : [one.input]);
      return kinds.get(text) ?? kinds.set(text, kinds.size).size - 1;
    });
    this.#bits = unknown.map((_, i) => 1n << BigInt(i));
    this.#left = maxSteps;
  }

  /** @returns the operations in an order that fits, unknown ones left out where they may; undefined: there is none */
  run(): { order: HistoryOperation<I, O>[]; state: S } | undefined {
    const state = this.#numberOf(this.#model.init);
    this.#push({ prefix: 0, beyond: [], applied: 0n, level: 0, state, from: undefined, by: 0 });
    for (let next = this.#take(); next !== undefined; next = this.#take()) {
      if (next.prefix === this.#known.length) {
        return { order: this.#pathTo(next), state: this.#states[next.state] as S };
      }
      if (!this.#isNew(next)) continue;
      if (this.#left-- === 0) throw new RangeError('maxSteps is too low to decide this history');
      this.#expand(next);
    }
    return undefined;
  }

  #push(configuration: Configuration): void {
    const { prefix, beyond, level } = configuration;
    ((this.#open[prefix + beyond.length] ??= [])[level] ??= []).push(configuration);
  }

  /** The one that has come farthest, and of those the one with the fewest unknown ones. */
  #take(): Configuration | undefined {
    for (; this.#open.length > 0; this.#open.pop()) {
      const next = this.#open
        .at(-1)
        ?.find((some) => some?.length > 0)
        ?.pop();
      if (next !== undefined) return next;
    }
    return undefined;
  }

  #isNew({ prefix, beyond, applied, state }: Configuration): boolean {
    const key = `${prefix} ${state} ${beyond.join()}`;
    const tried = this.#tried.get(key);
    if (tried === undefined) this.#tried.set(key, [applied]);
    else if (tried.some((other) => (other & applied) === other)) return false;
    else tried.push(applied);
    return true;
  }

  #expand(at: Configuration): void {
    const { candidates, before } = this.#candidates(at);
    const next: Configuration[] = [];
    const kinds = new Set<number>();
    for (const by of candidates) {
      const operation = this.#known[by] as Done<I, O>;
      if (this.#model.isTooLate?.(this.#states[at.state] as S, operation)) return;
      const kind = this.#kinds[by] as number;
      const state = kinds.has(kind) ? IMPOSSIBLE : this.#after(at, by);
      kinds.add(kind);
      if (state === IMPOSSIBLE) continue;
      const { prefix, beyond } = withDone(at, by);
      const moved = { prefix, beyond, applied: at.applied, level: at.level, state, from: at, by };
      if (this.#model.onlyLooks?.(operation)) {
        this.#push(moved);
        return;
      }
      next.push(moved);
    }
    // The last that is pushed is tried first: the one that ends first.
    for (const one of next.reverse()) this.#push(one);
    this.#applyUnknown(at, before);
  }

  /** Known ones that may come next, by end: nothing that is still to come ended before they started. */
  #candidates({ prefix, beyond }: Configuration): { candidates: number[]; before: number } {
    const candidates: number[] = [];
    let before = Number.POSITIVE_INFINITY;
    let skipped = 0;
    for (let index = prefix; index < this.#known.length; index++) {
      const { start, end } = this.#known[index] as Done<I, O>;
      if (start > before) break;
      if (beyond[skipped] === index) {
        skipped++;
        continue;
      }
      candidates.push(index);
      before = Math.min(before, end);
    }
    candidates.sort((a, b) => (this.#known[a] as Done<I, O>).end - (this.#known[b] as Done<I, O>).end);
    return { candidates, before };
  }

  #applyUnknown(at: Configuration, before: number): void {
    const { prefix, beyond, applied, level } = at;
    const kinds = new Set<number>();
    for (let index = 0; index < this.#bits.length; index++) {
      const by = this.#known.length + index;
      if ((this.#operations[by]?.start ?? 0) > before) break;
      const [bit, kind] = [this.#bits[index] as bigint, this.#kinds[by] as number];
      if ((applied & bit) !== 0n || kinds.has(kind)) continue;
      kinds.add(kind);
      const state = this.#after(at, by);
      // Without an effect it may as well never have happened.
      if (state === IMPOSSIBLE || state === at.state) continue;
      this.#push({ prefix, beyond, applied: applied | bit, level: level + 1, state, from: at, by });
    }
  }

  /** The state that follows, unless there is none or it follows as well without the unknown one before. */
  #after(at: Configuration, by: number): number {
    const state = this.#step(at.state, by);
    const isForNext = at.by < this.#known.length || at.from === undefined;
    return isForNext || state !== this.#step(at.from.state, by) ? state : IMPOSSIBLE;
  }

  #step(from: number, by: number): number {
    const key = from * this.#operations.length + by;
    const known = this.#steps.get(key);
    if (known !== undefined) return known;
    const { state, ok } = this.#model.step(this.#states[from] as S, this.#operations[by] as HistoryOperation<I, O>);
    const next = ok ? this.#numberOf(state) : IMPOSSIBLE;
    this.#steps.set(key, next);
    return next;
  }

  #numberOf(state: S): number {
    const text = textOf(state);
    const known = this.#stateOf.get(text);
    if (known !== undefined) return known;
    this.#stateOf.set(text, this.#states.length);
    return this.#states.push(state) - 1;
  }

  #pathTo(last: Configuration): HistoryOperation<I, O>[] {
    const order: HistoryOperation<I, O>[] = [];
    for (let at = last; at.from !== undefined; at = at.from) {
      order.push(this.#operations[at.by] as HistoryOperation<I, O>);
    }
    return order.reverse();
  }
}

function withDone(at: Configuration, index: number): { prefix: number; beyond: readonly number[] } {
  if (at.beyond.length === 0 && index === at.prefix) return { prefix: index + 1, beyond: at.beyond };
  const beyond = [...at.beyond, index].sort((a, b) => a - b);
  let { prefix } = at;
  let done = 0;
  for (; beyond[done] === prefix; done++) prefix++;
  return { prefix, beyond: beyond.slice(done) };
}

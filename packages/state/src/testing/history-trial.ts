import { type Clock, checkInteger, systemClock } from '@chunks/base';
import { createState } from '../create-state.ts';
import type { VersionedStore } from '../store.ts';
import type { State } from '../types.ts';
import { faultyStore, type StoreFault } from './faulty-store.ts';
import type { StoreBench } from './store-bench.ts';

/** How much is done, and what goes wrong meanwhile beside what the bench does to its store by itself. */
export interface HistoryOptions {
  /** One call in five fares like one of these. @default none */
  faults?: readonly StoreFault[] | undefined;
  /** Each with a store of its own. @default 5 */
  clients?: number | undefined;
  /** In each case, all clients together. @default 200 */
  operations?: number | undefined;
  /**
   * Whether a write may be sent again below the store's interface: then a bare write may lose against itself, and what
   * it hears as a conflict is unknown. @default whether a fault says so
   */
  mayResend?: boolean | undefined;
  /** When a call that does not settle is given up, in ms. @default 1_000 */
  attemptTimeoutMs?: number | undefined;
  /** @default the host's */
  clock?: Clock | undefined;
  /** In [0, 1), for what is done and what goes wrong. @default Math.random */
  random?: (() => number) | undefined;
}

const FAULTY_SHARE = 0.2;

/** One case at work. */
export class HistoryTrial {
  readonly clients: number;
  readonly operations: number;
  readonly mayResend: boolean;
  readonly random: () => number;
  readonly attemptTimeoutMs: number;
  readonly clock: Clock;
  readonly #bench: StoreBench;
  readonly #faults: readonly StoreFault[];
  readonly #ends: (() => unknown)[] = [];

  constructor(bench: StoreBench, o: HistoryOptions) {
    this.#bench = bench;
    this.#faults = o.faults ?? [];
    this.clients = checkInteger('clients', o.clients ?? 5, 1);
    this.operations = checkInteger('operations', o.operations ?? 200, 1);
    this.mayResend = o.mayResend ?? this.#faults.some((fault) => fault.startsWith('resend'));
    this.attemptTimeoutMs = o.attemptTimeoutMs ?? 1_000;
    this.clock = o.clock ?? systemClock;
    this.random = o.random ?? Math.random;
  }

  /** One of them. */
  pick<T>(some: readonly T[]): T {
    return some[Math.floor(this.random() * some.length)] as T;
  }

  /** One more process, whose calls may go wrong. */
  async open(): Promise<VersionedStore> {
    const inner = await this.#bench.open();
    this.#ends.push(() => inner.close?.());
    if (this.#faults.length === 0) return inner;
    const next = (): StoreFault => (this.random() < FAULTY_SHARE ? this.pick(this.#faults) : 'none');
    const { clock } = this;
    return faultyStore(inner, { next, clock, lateMs: () => Math.ceil(5 * this.random()) });
  }

  async state<T extends object>(initial: () => T): Promise<State<T>> {
    const { clock, random, attemptTimeoutMs } = this;
    const store = await this.open();
    const state = createState<T>({ store, initial, clock, random, attemptTimeoutMs, retry: { maxMs: 20 } });
    this.#ends.push(() => state.close());
    return state;
  }

  /** All clients at once, each its share of the operations, one after the other. */
  async run(client: (number: number) => Promise<(step: number) => Promise<void>>): Promise<void> {
    const clients = await Promise.all(Array.from({ length: this.clients }, (_, number) => client(number)));
    await Promise.all(
      clients.map(async (act) => {
        for (let step = 0; step < this.operations / this.clients; step++) await act(step);
      }),
    );
  }

  async end(): Promise<void> {
    for (const end of this.#ends.reverse()) await end();
    await this.#bench.close?.();
  }
}

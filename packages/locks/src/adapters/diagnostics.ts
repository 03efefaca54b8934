/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Tells `node:diagnostics_channel` what a locker does, for logs, metrics and tracing that know nothing of it.
 * @module
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { type Channel, channel } from 'node:diagnostics_channel';
import { checkFunction, refuseType } from '@chunks/base';
import { LockTimeoutError } from '../errors.ts';
import type { LockEvent, LockEvents, Locker, LockMode } from '../types.ts';

/** What is published on `chunks:locks:<event>`: the event as `on` gives it, and whose it is. */
export type LockMessage<E extends keyof LockEvents = keyof LockEvents> = LockEvents[E] & { readonly locker: string };

/**
 * What is published from the beginning of a wait or a hold to its end: one object, which is filled in at the end, so
 * that a subscriber can keep its span by it.
 */
export interface LockTrace {
  readonly locker: string;
  /** The same in a wait and the hold that comes of it. */
  readonly attempt: number;
  readonly key: string;
  readonly mode: LockMode;
  readonly owner: string;
  /** In ms since the epoch, by the locker's clock. */
  readonly startMs: number;
  endMs?: number;
  error?: unknown;
}

/** `tracing:chunks:locks:wait:*` */
export interface LockWaitTrace extends LockTrace {
  outcome?: 'acquired' | 'timeout' | 'aborted' | 'rejected';
}

/** `tracing:chunks:locks:hold:*` */
export interface LockHoldTrace extends LockTrace {
  readonly token: number;
  readonly waitedMs: number;
  outcome?: 'released' | 'lost';
}

/** Options of {@link publishLocks}. */
export interface PublishLocksOptions {
  /** Tells the lockers of a process apart, as `locker` in every message. @default '' */
  name?: string | undefined;
}

/**
 * Publishes what the locker does, until the returned function is called. A process has one set of channels, whatever
 * number of lockers publish; a channel that nobody has subscribed to costs the building of the event.
 *
 * - `chunks:locks:queued`, `…:acquired`, `…:released`, `…:timeout`, `…:aborted`, `…:rejected`, `…:expired`, `…:lost`:
 *   a {@link LockMessage} inside the call or timer that caused it.
 * - `tracing:chunks:locks:wait:*` and `tracing:chunks:locks:hold:*`, as `tracingChannel('chunks:locks:wait')` and
 *   `tracingChannel('chunks:locks:hold')` subscribe to: `start` and `end` when the wait or the hold begins; when it is
 *   over, `error` if it failed, then `asyncStart` and `asyncEnd`. All of them run in the async context of who asked for
 *   the lock, whoever released it or was before it, so spans get the right parent.
 *   A wait ends `acquired`, or fails by `timeout`, `aborted` or `rejected`; a hold ends `released`, or fails by `lost`.
 *   A lock that was free has no wait. What had begun before somebody subscribed is not told.
 * @param locker a `KeyedMutex`, a lease locker, or anything else with their events
 * @returns stops it: what is waited for and held is not told to the end then.
 * @throws TypeError naming option, rule and value.
 * @example
 * publishLocks(locks, { name: 'uploads' });
 * const spans = new WeakMap<object, Span>();
 * const { start, asyncEnd } = tracingChannel('chunks:locks:hold');
 * start.subscribe((trace: LockHoldTrace) => spans.set(trace, tracer.startSpan('lock', { startTime: trace.startMs })));
 * asyncEnd.subscribe((trace: LockHoldTrace) => spans.get(trace)?.end(trace.endMs));
 */
export function publishLocks(locker: Pick<Locker, 'on'>, options: PublishLocksOptions = {}): () => void {
  const { name = '' } = options;
  checkFunction('locker.on', locker?.on);
  if (typeof name !== 'string') refuseType('name', 'a string', name);
  const offs = [...publishEvents(locker, name), ...publishTraces(locker, name)];
  return () => {
    for (const off of offs) off();
  };
}

const EVENTS = ['queued', 'acquired', 'released', 'timeout', 'aborted', 'rejected', 'expired', 'lost'] as const;

function publishEvents(locker: Pick<Locker, 'on'>, name: string): (() => void)[] {
  return EVENTS.map((event) => {
    const to = channel(`chunks:locks:${event}`);
    return locker.on(event, (about: LockEvents[typeof event]) => {
      if (to.hasSubscribers) to.publish({ ...about, locker: name } satisfies LockMessage);
    });
  });
}

function publishTraces(locker: Pick<Locker, 'on'>, name: string): (() => void)[] {
  const traces = new Traces(name);
  const timeout = ({ key, waitedMs }: LockEvents['timeout']) => new LockTimeoutError(key, waitedMs, undefined);
  return [
    locker.on('queued', (event) => traces.beginWait(event)),
    locker.on('acquired', (event) => traces.beginHold(event)),
    locker.on('timeout', (event) => traces.end(event, 'timeout', { error: timeout(event) })),
    locker.on('aborted', (event) => traces.end(event, 'aborted', { error: event.reason })),
    locker.on('rejected', (event) => traces.end(event, 'rejected', { error: event.reason })),
    locker.on('released', (event) => traces.end(event, 'released')),
    locker.on('lost', (event) => traces.end(event, 'lost', { error: event.cause })),
  ];
}

/** Calls in the context of who asked for the lock. */
type Within = (act: () => void) => void;

/** The waits and holds of one locker that somebody heard begin, and that have not ended. */
class Traces {
  readonly #locker: string;
  readonly #waits = new Steps('wait');
  readonly #holds = new Steps('hold');
  // By attempt, which either waits or holds.
  readonly #open = new Map<number, { within: Within; steps: Steps; trace: LockTrace }>();

  constructor(locker: string) {
    this.#locker = locker;
  }

  beginWait(event: LockEvent): void {
    if (this.#waits.isHeard || this.#holds.isHeard) this.#begin(this.#waits, event, AsyncLocalStorage.snapshot(), {});
  }

  beginHold(event: LockEvents['acquired']): void {
    const { token, waitedMs } = event;
    const within = this.end(event, 'acquired');
    if (!this.#holds.isHeard) return;
    // A lock that was free is told of inside the very call that asked for it.
    this.#begin(this.#holds, event, within ?? AsyncLocalStorage.snapshot(), { token, waitedMs });
  }

  /** @returns the context in which it had begun, if anybody heard that */
  end(event: LockEvent, outcome: string, failure?: { error: unknown }): Within | undefined {
    const begun = this.#open.get(event.attempt);
    if (begun === undefined) return undefined;
    this.#open.delete(event.attempt);
    const { within, steps, trace } = begun;
    within(() => steps.end(Object.assign(trace, { endMs: event.atMs, outcome }, failure)));
    return within;
  }

  #begin(steps: Steps, { attempt, key, mode, owner, atMs }: LockEvent, within: Within, more: object): void {
    const trace: LockTrace = { locker: this.#locker, attempt, key, mode, owner, startMs: atMs, ...more };
    this.#open.set(attempt, { within, steps, trace });
    within(() => steps.begin(trace));
  }
}

/** The channels that node's `tracingChannel` of the same name subscribes to; not every runtime has that one. */
class Steps {
  readonly #start: Channel;
  readonly #end: Channel;
  readonly #asyncStart: Channel;
  readonly #asyncEnd: Channel;
  readonly #error: Channel;

  constructor(name: 'wait' | 'hold') {
    const step = (one: string): Channel => channel(`tracing:chunks:locks:${name}:${one}`);
    this.#start = step('start');
    this.#end = step('end');
    this.#asyncStart = step('asyncStart');
    this.#asyncEnd = step('asyncEnd');
    this.#error = step('error');
  }

  get isHeard(): boolean {
    const steps = [this.#start, this.#end, this.#asyncStart, this.#asyncEnd, this.#error];
    return steps.some(({ hasSubscribers }) => hasSubscribers);
  }

  begin(trace: LockTrace): void {
    this.#start.publish(trace);
    this.#end.publish(trace);
  }

  end(trace: LockTrace): void {
    if ('error' in trace) this.#error.publish(trace);
    this.#asyncStart.publish(trace);
    this.#asyncEnd.publish(trace);
  }
}

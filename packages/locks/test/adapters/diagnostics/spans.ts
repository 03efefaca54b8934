import { AsyncLocalStorage } from 'node:async_hooks';
import { tracingChannel } from 'node:diagnostics_channel';
import type { LockHoldTrace, LockWaitTrace } from '@chunks/locks/diagnostics';
import {
  type Context,
  type ContextManager,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  type Tracer,
} from '@opentelemetry/api';

/** The context of a span follows its async context, as OpenTelemetry's own manager for Node does it. */
export class AsyncContexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();

  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT;
  }

  with<A extends unknown[], F extends (...all: A) => ReturnType<F>>(
    context: Context,
    act: F,
    self?: ThisParameterType<F>,
    ...all: A
  ): ReturnType<F> {
    return this.#storage.run(context, () => act.apply(self, all));
  }

  bind<T>(context: Context, target: T): T {
    if (typeof target !== 'function') return target;
    return ((...all: unknown[]) => this.#storage.run(context, () => target(...all))) as T;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    this.#storage.disable();
    return this;
  }
}

/**
 * Makes a span of every wait and every hold.
 * @returns stops it
 */
export function spansOfLocks(tracer: Tracer): () => void {
  const offs = (['wait', 'hold'] as const).map((what) => {
    const spans = new WeakMap<object, Span>();
    const start = (message: unknown): void => {
      const trace = message as LockWaitTrace & Partial<LockHoldTrace>;
      const attributes = {
        'lock.locker': trace.locker,
        'lock.key': trace.key,
        'lock.mode': trace.mode,
        'lock.owner': trace.owner,
        ...(trace.token !== undefined && { 'lock.token': trace.token, 'lock.waited_ms': trace.waitedMs ?? 0 }),
      };
      spans.set(trace, tracer.startSpan(`lock.${what}`, { startTime: trace.startMs, attributes }));
    };
    const asyncEnd = (message: unknown): void => {
      const trace = message as LockWaitTrace;
      const span = spans.get(trace);
      span?.setAttribute('lock.outcome', trace.outcome as string);
      if ('error' in trace) span?.setStatus({ code: SpanStatusCode.ERROR, message: String(trace.error) });
      span?.end(trace.endMs);
    };
    const channels = tracingChannel(`chunks:locks:${what}`);
    channels.start.subscribe(start);
    channels.asyncEnd.subscribe(asyncEnd);
    return () => {
      channels.start.unsubscribe(start);
      channels.asyncEnd.unsubscribe(asyncEnd);
    };
  });
  return () => {
    for (const off of offs) off();
  };
}

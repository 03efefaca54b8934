/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Leases in Durable Objects: one object a key, which keeps the line for it and hands it on.
 * @module
 */
import { checkFunction, checkNumber, checkText } from '@chunks/base';
import type { LeaseBusy, LeaseDriver, LeaseGrant, LeaseRenewal, LeaseRequest, LeaseState } from '../lease-driver.ts';
import type { LeaseObjectCall } from './durable-object/lease-object.ts';

export { LeaseObject, type LeaseObjectSocket, type LeaseObjectState } from './durable-object/lease-object.ts';

/** What is used of a Worker's WebSocket. */
export interface LeaseSocket {
  accept(): void;
  close(): void;
  addEventListener(type: 'message' | 'close' | 'error', listener: () => void): void;
}

/** What is used of the stub of a Durable Object. */
export interface LeaseStub {
  fetch(
    url: string,
    init: { method: string; headers: Record<string, string>; body?: string },
  ): Promise<{ status: number; text(): Promise<string>; webSocket?: LeaseSocket | null }>;
}

/** A binding to the namespace of `LeaseObject`s: a `DurableObjectNamespace` has this shape. */
export interface LeaseNamespace<Id> {
  idFromName(name: string): Id;
  get(id: Id): LeaseStub;
}

// Nobody resolves it: a stub leads to its object alone.
const URL_OF_OBJECT = 'https://lease.object/';

class DurableObjectLeases<Id> implements LeaseDriver {
  readonly name = 'durable-object';
  readonly modes = ['exclusive'] as const;
  readonly #namespace: LeaseNamespace<Id>;
  readonly #watches = new Set<() => void>();

  constructor(namespace: LeaseNamespace<Id>) {
    this.#namespace = namespace;
  }

  async acquire(
    key: string,
    holder: string,
    leaseMs: number,
    { signal }: LeaseRequest,
  ): Promise<LeaseGrant | LeaseBusy> {
    checkLease(leaseMs);
    signal.throwIfAborted();
    return this.#ask(key, { call: 'acquire', holder, leaseMs });
  }

  async renew(key: string, holder: string, token: number, leaseMs: number): Promise<LeaseRenewal> {
    checkLease(leaseMs);
    return this.#ask(key, { call: 'renew', holder, token, leaseMs });
  }

  release(key: string, holder: string, token: number): Promise<boolean> {
    return this.#ask(key, { call: 'release', holder, token });
  }

  inspect(key: string): Promise<LeaseState | undefined> {
    return this.#ask(key, { call: 'inspect' });
  }

  /** A socket of its own for each: a Worker may not use one request's connection in another. */
  async watch(key: string, wake: () => void): Promise<() => void> {
    const { status, webSocket } = await this.#stub(key).fetch(URL_OF_OBJECT, {
      method: 'GET',
      headers: { upgrade: 'websocket' },
    });
    if (!webSocket) throw new Error(`the lease object answered ${status} to a watch`);
    const hear = (): void => {
      if (this.#watches.has(stop)) wake();
    };
    const stop = (): void => {
      if (this.#watches.delete(stop)) webSocket.close();
    };
    // When the connection breaks, a release may have been missed.
    const end = (): void => {
      hear();
      this.#watches.delete(stop);
    };
    this.#watches.add(stop);
    webSocket.addEventListener('message', hear);
    webSocket.addEventListener('close', end);
    webSocket.addEventListener('error', end);
    webSocket.accept();
    return stop;
  }

  /** Ends the watches. */
  async close(): Promise<void> {
    for (const stop of [...this.#watches]) stop();
  }

  /** Anew each time: after an object was reset, a stub from before goes on failing. */
  #stub(key: string): LeaseStub {
    return this.#namespace.get(this.#namespace.idFromName(checkText('key', key)));
  }

  async #ask<T>(key: string, call: LeaseObjectCall): Promise<T> {
    const body = JSON.stringify(call);
    const response = await this.#stub(key).fetch(URL_OF_OBJECT, { method: 'POST', headers: {}, body });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`the lease object answered ${response.status}: ${text}`);
    return JSON.parse(text).answer;
  }
}

// JSON has no Infinity.
const checkLease = (leaseMs: number): number => checkNumber('leaseMs', leaseMs, 1, Number.MAX_SAFE_INTEGER);

/**
 * Leases in Durable Objects. Bind the namespace of {@link LeaseObject}, which the Worker exports.
 *
 * Each call is one request to the key's own object. Waiters stand in a line there, in the order in which they first
 * asked; a release hands the key on to the first before it is answered, and whoever watches is woken over a WebSocket
 * that hibernates, so that the object costs nothing while others wait. Time is the object's.
 *
 * In a Worker make the locker inside the request that uses it: a request may not use the sockets and timers of another.
 *
 * @throws TypeError when `namespace` is none.
 * @example
 * export { LeaseObject } from '@chunks/locks/durable-object';
 * const locker = leaseLocker(durableObjectLeases(env.LEASES));
 * await locker.run('manifest', (lock) => write(lock.token));
 */
export function durableObjectLeases<Id>(namespace: LeaseNamespace<Id>): LeaseDriver {
  checkFunction('namespace.idFromName', namespace?.idFromName);
  checkFunction('namespace.get', namespace?.get);
  return new DurableObjectLeases(namespace);
}

import { type Clock, checkInteger, checkNumber, checkOneOf, checkText, systemClock } from '@chunks/base';
import { KeyLine, type KeyRecord } from './key-line.ts';

/** What is used of a hibernating WebSocket. */
export interface LeaseObjectSocket {
  readonly readyState: number;
  send(message: string): void;
  close(): void;
}

/** What is used of the `DurableObjectState` that the runtime hands to every object. */
export interface LeaseObjectState {
  readonly storage: {
    get(key: string): Promise<unknown>;
    put(key: string, value: unknown): Promise<void>;
    deleteAll(): Promise<void>;
    getAlarm(): Promise<number | null>;
    setAlarm(atMs: number): Promise<void>;
  };
  acceptWebSocket(socket: LeaseObjectSocket): void;
  getWebSockets(): LeaseObjectSocket[];
}

/** One question to the object; its answer comes back as `{ answer }`. */
export type LeaseObjectCall =
  | { readonly call: 'acquire'; readonly holder: string; readonly leaseMs: number }
  | { readonly call: 'renew'; readonly holder: string; readonly token: number; readonly leaseMs: number }
  | { readonly call: 'release'; readonly holder: string; readonly token: number }
  | { readonly call: 'inspect' };

const CALLS = ['acquire', 'renew', 'release', 'inspect'] as const;
const RECORD = 'lease';
const CLOSING = 2;

/** The storage's content in memory. */
interface Opened {
  readonly line: KeyLine;
  /** When the alarm rings; Infinity: there is none. */
  alarmMs: number;
}

declare const WebSocketPair: new () => { 0: LeaseObjectSocket; 1: LeaseObjectSocket };

/**
 * The Durable Object that keeps one key's lease and its line: export it from the Worker and bind it. Everything is in
 * its storage, so it may be evicted, moved or restarted at any time. A release hands the key on to the first in line
 * before it is answered; an alarm does the same for a lease that ends while somebody waits, and takes the record away
 * a day after the key was last used. Time is the object's own.
 *
 * A plain class with a `fetch`, because the base class for RPC stands in a module that no other runtime can load.
 * @example
 * export { LeaseObject } from '@chunks/locks/durable-object';
 * // wrangler.json: "durable_objects": { "bindings": [{ "name": "LEASES", "class_name": "LeaseObject" }] },
 * //                "migrations": [{ "tag": "v1", "new_sqlite_classes": ["LeaseObject"] }]
 */
export class LeaseObject {
  readonly #state: LeaseObjectState;
  readonly #clock: Clock;
  #opened: Promise<Opened> | undefined;

  /** @param options.clock whose time leases are counted by. @default the object's */
  constructor(state: LeaseObjectState, _env?: unknown, options: { clock?: Clock | undefined } = {}) {
    this.#state = state;
    this.#clock = options.clock ?? systemClock;
  }

  /** Answers the driver; 400 for anything else. */
  async fetch(request: Request): Promise<Response> {
    if (request.headers.get('upgrade') === 'websocket') return this.#subscribe();
    const call: unknown = await request.json().catch(() => undefined);
    try {
      checkCall(call);
    } catch (error) {
      return new Response(String(error), { status: 400 });
    }
    const opened = await this.#open();
    // Decided without a pause, whatever else the object is doing.
    const answer = perform(opened.line, call, this.#clock.now());
    await this.#keep(opened);
    return Response.json({ answer });
  }

  /** Time alone has something to do. What fails is tried again by the runtime, and else by the next call. */
  async alarm(): Promise<void> {
    const opened = await this.#open();
    opened.alarmMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.now();
    opened.line.settle(nowMs);
    if (!opened.line.isOld(nowMs)) return this.#keep(opened);
    this.#opened = undefined;
    await this.#state.storage.deleteAll();
  }

  webSocketClose(socket: LeaseObjectSocket): void {
    if (socket.readyState < CLOSING) socket.close();
  }

  #open(): Promise<Opened> {
    this.#opened ??= this.#load().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  async #load(): Promise<Opened> {
    const { storage } = this.#state;
    const [record, alarmMs] = await Promise.all([storage.get(RECORD), storage.getAlarm()]);
    return { line: new KeyLine(record as KeyRecord | undefined), alarmMs: alarmMs ?? Number.POSITIVE_INFINITY };
  }

  /** Stores what has changed, sets the alarm by it, then tells who watches. */
  async #keep(opened: Opened): Promise<void> {
    const { storage } = this.#state;
    const { line } = opened;
    const { isChanged, isFreed } = line.takeChange();
    const writes: Promise<void>[] = [];
    if (isChanged) writes.push(storage.put(RECORD, line.record));
    // One that comes too early sets the next one: moving it with each renewal would be a write more.
    if (line.dueMs < opened.alarmMs) {
      opened.alarmMs = line.dueMs;
      writes.push(storage.setAlarm(line.dueMs));
    }
    try {
      await Promise.all(writes);
    } catch (error) {
      // What is in memory may be ahead of the store, and only the store counts.
      this.#opened = undefined;
      throw error;
    }
    if (isFreed) for (const socket of this.#state.getWebSockets()) if (socket.readyState < CLOSING) socket.send('');
  }

  /** Hibernates with the object: who waits costs nothing. */
  #subscribe(): Response {
    const pair = new WebSocketPair();
    this.#state.acceptWebSocket(pair[1]);
    return new Response(null, { status: 101, webSocket: pair[0] } as ResponseInit);
  }
}

/** @throws TypeError | RangeError when it is none. */
function checkCall(value: unknown): asserts value is LeaseObjectCall {
  const { call, holder, token, leaseMs } = Object(value) as Record<string, unknown>;
  checkOneOf('call', call, CALLS);
  if (call === 'inspect') return;
  checkText('holder', holder);
  if (call !== 'acquire') checkInteger('token', token, 0);
  if (call !== 'release') checkNumber('leaseMs', leaseMs, 1, Number.MAX_SAFE_INTEGER);
}

function perform(line: KeyLine, call: LeaseObjectCall, nowMs: number): unknown {
  switch (call.call) {
    case 'acquire':
      return line.acquire(call.holder, call.leaseMs, nowMs);
    case 'renew':
      return line.renew(call.holder, call.token, call.leaseMs, nowMs);
    case 'release':
      return line.release(call.holder, call.token, nowMs);
    case 'inspect':
      return line.inspect(nowMs);
  }
}

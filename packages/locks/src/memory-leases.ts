import { type Clock, checkInteger, checkNumber, checkOneOf, checkText, systemClock } from '@chunks/base';
import type { LeaseBusy, LeaseDriver, LeaseGrant, LeaseRenewal, LeaseRequest, LeaseState } from './lease-driver.ts';
import { CLAIM_MS, KEPT_MS, PLACE_MS, tokenAfter } from './lease-rules.ts';
import type { LockMode } from './types.ts';

const MODES: readonly LockMode[] = ['exclusive', 'shared'];

interface Lease {
  readonly holder: string;
  readonly mode: LockMode;
  readonly token: number;
  endsMs: number;
  /** Handed on, but its new holder has not asked since. */
  isUnclaimed: boolean;
}

interface Place {
  readonly mode: LockMode;
  readonly leaseMs: number;
  askedMs: number;
}

/** One key: who is in, who stands in line, by holder and in order, and the highest token so far. */
interface Room {
  token: number;
  readonly inside: Map<string, Lease>;
  readonly line: Map<string, Place>;
  readonly watchers: Set<() => void>;
}

/**
 * Leases in the memory of this process: the smallest complete driver, for tests and for reading. Lockers that are to
 * share its keys share the object. Both modes; a release hands the key on to the first in line.
 * @param options.clock whose time leases are counted by. @default the host's clock
 * @example
 * const store = memoryLeases();
 * const here = leaseLocker(store);
 * const there = leaseLocker(store); // as if in another process
 */
export function memoryLeases(options: { clock?: Clock | undefined } = {}): LeaseDriver {
  return new MemoryLeases(options.clock ?? systemClock);
}

class MemoryLeases implements LeaseDriver {
  readonly name = 'memory';
  readonly modes: readonly LockMode[] = MODES;
  readonly #clock: Clock;
  readonly #rooms = new Map<string, Room>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async acquire(key: string, holder: string, leaseMs: number, request: LeaseRequest): Promise<LeaseGrant | LeaseBusy> {
    const { mode, signal } = request;
    checkText('holder', holder);
    checkNumber('leaseMs', leaseMs, 1);
    checkOneOf('mode', mode, MODES);
    signal.throwIfAborted();
    const nowMs = this.#clock.now();
    const room = this.#enter(checkText('key', key), nowMs);
    const own = room.inside.get(holder);
    if (own !== undefined) {
      own.endsMs = nowMs + leaseMs;
      own.isUnclaimed = false;
      return { token: own.token };
    }
    if (room.line.size === 0 && admits(room, mode)) {
      return { token: admit(room, holder, mode, nowMs, nowMs + leaseMs).token };
    }
    const place = room.line.get(holder);
    if (place === undefined) room.line.set(holder, { mode, leaseMs, askedMs: nowMs });
    else place.askedMs = nowMs;
    const last = lastOut(room) as Lease;
    return { busy: true, holder: last.holder, retryAfterMs: last.endsMs - nowMs, queued: true };
  }

  async renew(key: string, holder: string, token: number, leaseMs: number): Promise<LeaseRenewal> {
    checkNumber('leaseMs', leaseMs, 1);
    const nowMs = this.#clock.now();
    const room = this.#enter(key, nowMs);
    const own = room.inside.get(holder);
    if (own?.token !== token) return false;
    own.endsMs = nowMs + leaseMs;
    return room.line.size === 0 || { contended: true };
  }

  async release(key: string, holder: string, token: number): Promise<boolean> {
    checkInteger('token', token, 0);
    const nowMs = this.#clock.now();
    const room = this.#enter(key, nowMs);
    const own = room.inside.get(holder);
    const isOurs = own?.token === token;
    // Who leaves the line may have been handed the key since it last asked.
    const gives = isOurs || (token === 0 && own?.isUnclaimed === true);
    if (token === 0) room.line.delete(holder);
    if (gives) room.inside.delete(holder);
    handOn(room, nowMs);
    if (gives) wake(room);
    return isOurs;
  }

  async inspect(key: string): Promise<LeaseState | undefined> {
    const nowMs = this.#clock.now();
    const last = lastOut(this.#enter(key, nowMs));
    return last && { holder: last.holder, mode: last.mode, expiresInMs: last.endsMs - nowMs };
  }

  async watch(key: string, wakeUp: () => void): Promise<() => void> {
    const { watchers } = this.#enter(key, this.#clock.now());
    // One function may watch twice, and stop once.
    const watcher = (): void => wakeUp();
    watchers.add(watcher);
    return () => {
      watchers.delete(watcher);
    };
  }

  /** The key as it stands after everything that was due. */
  #enter(key: string, nowMs: number): Room {
    let room = this.#rooms.get(key);
    if (room === undefined) {
      this.#forgetOld(nowMs);
      room = { token: 0, inside: new Map(), line: new Map(), watchers: new Set() };
      this.#rooms.set(key, room);
      return room;
    }
    for (const { holder, endsMs } of room.inside.values()) if (endsMs <= nowMs) room.inside.delete(holder);
    for (const [holder, { askedMs }] of room.line) if (askedMs + PLACE_MS <= nowMs) room.line.delete(holder);
    if (handOn(room, nowMs)) wake(room);
    return room;
  }

  /** Two old keys are looked at for each new one, so the map never grows beyond what a day has seen. */
  #forgetOld(nowMs: number): void {
    for (let looked = 0; looked < 2; looked++) {
      const [oldest] = this.#rooms;
      if (oldest === undefined) return;
      const [key, room] = oldest;
      this.#rooms.delete(key);
      const isIdle = room.inside.size + room.line.size + room.watchers.size === 0;
      // Behind the clock by so much that the clock, even set back a little, gives a higher token.
      if (!isIdle || room.token + KEPT_MS > nowMs) this.#rooms.set(key, room);
    }
  }
}

const admits = ({ inside }: Room, mode: LockMode): boolean => {
  const [first] = inside.values();
  return first === undefined || (mode === 'shared' && first.mode === 'shared');
};

/** Those who share are one phase with one token. */
function admit(room: Room, holder: string, mode: LockMode, nowMs: number, endsMs: number): Lease {
  if (room.inside.size === 0) room.token = tokenAfter(room.token, nowMs);
  const lease: Lease = { holder, mode, token: room.token, endsMs, isUnclaimed: false };
  room.inside.set(holder, lease);
  return lease;
}

/** @returns whether anybody was given the key */
function handOn(room: Room, nowMs: number): boolean {
  let given = false;
  for (const [holder, { mode, leaseMs }] of room.line) {
    if (!admits(room, mode)) break;
    room.line.delete(holder);
    admit(room, holder, mode, nowMs, nowMs + Math.min(CLAIM_MS, leaseMs)).isUnclaimed = true;
    given = true;
  }
  return given;
}

/** Of those who are in, the one whose lease ends last. */
function lastOut({ inside }: Room): Lease | undefined {
  let last: Lease | undefined;
  for (const lease of inside.values()) if (last === undefined || lease.endsMs > last.endsMs) last = lease;
  return last;
}

function wake({ watchers }: Room): void {
  for (const watcher of [...watchers]) watcher();
}

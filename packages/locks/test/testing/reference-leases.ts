import type { LeaseAbilities, LeaseBench } from '@chunks/locks/testing';
import { VirtualClock } from '@chunks/locks/testing';
import type { LeaseDriver, LeaseRequest } from '../../src/lease-driver.ts';
import type { LockMode } from '../../src/types.ts';

interface Lease {
  readonly holder: string;
  readonly mode: LockMode;
  readonly token: number;
  endsMs: number;
}

interface Place {
  readonly holder: string;
  readonly mode: LockMode;
  readonly leaseMs: number;
  askedMs: number;
}

interface Row {
  token: number;
  leases: Lease[];
  line: Place[];
  mode: LockMode;
  /** Whether anybody ever waited. */
  contended: boolean;
}

/** One way to get a driver wrong; each names what the driver then does. */
export type Flaw =
  | 'grants what is taken'
  | 'names no holder'
  | 'tells no retryAfterMs'
  | 'yields between reading and writing'
  | 'gives a new token on a resend'
  | 'keeps the old end on a resend'
  | 'wants as many releases as calls'
  | 'gives the old token after the end'
  | 'forgets the token on release'
  | 'forgets the token at the end'
  | 'counts tokens per process'
  | 'counts tokens from 1'
  | 'folds the case of keys'
  | 'trims keys'
  | 'cuts keys at NUL'
  | 'cuts keys at 255'
  | 'splits keys at a slash'
  | 'normalizes keys'
  | 'cuts holders at 63'
  | 'rejects an abort with an error of its own'
  | 'leaves a ghost on abort'
  | 'renews nothing'
  | 'calls every renewal contended'
  | 'revives'
  | 'releases what has ended'
  | 'renews for any holder'
  | 'renews under any token'
  | 'releases for any holder'
  | 'releases under any token'
  | 'frees at the end of the lease'
  | 'says true to every release'
  | 'forgets all on close'
  | 'inspects what has ended'
  | 'inspects the holder alone'
  | 'wakes nobody'
  | 'wakes one watcher'
  | 'wakes its own process alone'
  | 'stops all watchers of a key'
  | 'wakes after the stop'
  | 'watches ten keys'
  | 'wakes after close'
  | 'is busy when out of reach'
  | 'is free when out of reach'
  | 'renews false when out of reach'
  | 'never tries again'
  | 'follows the clock back'
  | 'ends late'
  | 'ends early'
  | 'lets one shared in'
  | 'lets shared in with exclusive'
  | 'counts a token per shared holder'
  | 'keeps the token of the last shared phase'
  | 'ends a shared phase with its first'
  | 'hands on to the last'
  | 'lets newcomers in'
  | 'loses the place of who asks again'
  | 'gives a place per call'
  | 'hands nothing on at the end'
  | 'keeps who has left'
  | 'says false at contention'
  | 'never sees contention'
  | 'stays contended'
  | 'hands on for the whole lease'
  | 'never renews a claim'
  | 'keeps places for ever'
  | 'drops places that are asked for'
  | 'lets shared pass exclusive'
  | 'lets one shared in at a time'
  | 'keeps a line'
  | 'has what it has not';

const CLAIM_MS = 2_000;
const PLACE_MS = 15_000;

/** What all processes share: a store in the simplest words, right unless it has a flaw. */
class ReferenceStore {
  readonly rows = new Map<string, Row>();
  readonly calls = new Map<string, number>();
  readonly watchers = new Map<string, Set<{ wake: () => void; driver: LeaseDriver }>>();
  readonly clock: VirtualClock;
  readonly flaw: Flaw | undefined;
  readonly line: boolean;

  constructor(clock: VirtualClock, flaw: Flaw | undefined, line: boolean) {
    this.clock = clock;
    this.flaw = flaw;
    this.line = line;
  }

  /** The key's row, after all that was due: ends, lapsed places, hand-offs. */
  row(key: string): Row {
    const row: Row = this.rows.get(this.#keyOf(key)) ?? {
      token: 0,
      leases: [],
      line: [],
      mode: 'exclusive',
      contended: false,
    };
    this.rows.set(this.#keyOf(key), row);
    const ended = row.leases.filter(({ endsMs }) => endsMs <= this.#endNow());
    if (ended.length > 0 && this.flaw === 'ends a shared phase with its first') row.leases = [];
    row.leases = row.leases.filter((lease) => !ended.includes(lease));
    if (ended.length > 0 && this.flaw === 'forgets the token at the end') row.token = 0;
    if (this.flaw !== 'keeps places for ever') {
      row.line = row.line.filter(({ askedMs }) => askedMs + PLACE_MS > this.clock.now());
    }
    if (ended.length === 0 || this.flaw !== 'hands nothing on at the end') this.#handOn(row);
    return row;
  }

  /** Whether this mode may join those who are in. */
  fits(row: Row, mode: LockMode): boolean {
    if (row.leases.length === 0 || this.flaw === 'grants what is taken') return true;
    if (this.flaw === 'lets one shared in') return false;
    if (this.flaw === 'lets shared in with exclusive') return mode === 'shared';
    return mode === 'shared' && row.leases.every((lease) => lease.mode === 'shared');
  }

  grant(row: Row, holder: string, mode: LockMode, leaseMs: number): Lease {
    const joins = row.leases.length > 0 && mode === 'shared' && this.flaw !== 'counts a token per shared holder';
    const goesOn = row.mode === 'shared' && mode === 'shared';
    if (!joins && !(goesOn && this.flaw === 'keeps the token of the last shared phase')) row.token = this.#token(row);
    row.mode = this.flaw === 'keeps the token of the last shared phase' && mode === 'exclusive' ? row.mode : mode;
    const lease = { holder, mode, token: row.token, endsMs: this.clock.now() + leaseMs };
    row.leases.push(lease);
    return lease;
  }

  release(key: string, row: Row, leases: Lease[], driver: LeaseDriver): void {
    if (this.flaw === 'frees at the end of the lease') return;
    row.leases = this.flaw === 'ends a shared phase with its first' ? [] : leases;
    if (this.flaw === 'forgets the token on release') row.token = 0;
    this.#handOn(row);
    const all = [...(this.watchers.get(key) ?? [])];
    const woken = {
      'wakes nobody': [],
      'wakes one watcher': all.slice(0, 1),
      'wakes its own process alone': all.filter((one) => one.driver === driver),
    }[this.flaw as string];
    for (const { wake } of woken ?? all) wake();
  }

  #handOn(row: Row): void {
    if (!this.line) return;
    const pick = this.flaw === 'hands on to the last' ? -1 : 0;
    for (let next = row.line.at(pick); next !== undefined && this.fits(row, next.mode); next = row.line.at(pick)) {
      if (row.leases.length > 0 && this.flaw === 'lets one shared in at a time') break;
      const { holder, mode, leaseMs } = next;
      row.line = row.line.filter((place) => place !== next);
      const claimMs = this.flaw === 'hands on for the whole lease' ? leaseMs : Math.min(CLAIM_MS, leaseMs);
      this.grant(row, holder, mode, claimMs);
      if (this.flaw === 'grants what is taken') break;
    }
  }

  #token({ token }: Row): number {
    if (this.flaw === 'counts tokens from 1') return token + 1;
    if (this.flaw === 'follows the clock back') {
      return token > this.clock.now() + 1_000 ? this.clock.now() : Math.max(token + 1, this.clock.now());
    }
    return Math.max(token + 1, this.clock.now());
  }

  #endNow(): number {
    return this.clock.now() + ({ 'ends late': -1, 'ends early': 1 }[this.flaw as string] ?? 0);
  }

  #keyOf(key: string): string {
    const folded: Record<string, string> = {
      'folds the case of keys': key.toLowerCase(),
      'trims keys': key.trim(),
      'cuts keys at NUL': key.split('\0')[0] as string,
      'cuts keys at 255': key.slice(0, 255),
      'splits keys at a slash': key.split('/').filter(Boolean).join('/'),
      'normalizes keys': key.normalize('NFC'),
    };
    return folded[this.flaw as string] ?? key;
  }
}

/** One process on the store. */
function driverOn(store: ReferenceStore, abilities: LeaseAbilities): LeaseDriver {
  const { flaw, clock } = store;
  const { calls } = store;
  const own = new Map<string, number>();
  const cut = (holder: string): string => (flaw === 'cuts holders at 63' ? holder.slice(0, 63) : holder);

  const wait = (row: Row, holder: string, leaseMs: number, mode: LockMode): void => {
    row.contended = true;
    const place = row.line.find((one) => one.holder === holder);
    const asked = { holder, mode, leaseMs, askedMs: clock.now() };
    if (place === undefined || flaw === 'gives a place per call') row.line.push(asked);
    else if (flaw === 'loses the place of who asks again') row.line = [...row.line.filter((p) => p !== place), asked];
    else if (flaw !== 'drops places that are asked for') place.askedMs = asked.askedMs;
  };

  const driver: LeaseDriver = {
    name: 'reference',
    modes: abilities.shared !== (flaw === 'has what it has not') ? ['exclusive', 'shared'] : ['exclusive'],
    async acquire(key: string, named: string, leaseMs: number, { mode, signal }: LeaseRequest) {
      if (signal.aborted && flaw === 'rejects an abort with an error of its own') throw new Error('cancelled');
      const holder = cut(signal.aborted && flaw === 'leaves a ghost on abort' ? `${named} once` : named);
      const before = store.rows.get(key)?.leases.find((lease) => lease.holder === holder);
      const row = store.row(key);
      const again = row.leases.find((lease) => lease.holder === holder);
      if (again !== undefined) {
        calls.set(holder, (calls.get(holder) ?? 1) + 1);
        if (flaw !== 'keeps the old end on a resend' && flaw !== 'never renews a claim') {
          again.endsMs = clock.now() + leaseMs;
        }
        return { token: flaw === 'gives a new token on a resend' ? again.token + 1 : again.token };
      }
      const shut = row.line.length > 0 && flaw !== 'lets newcomers in';
      const passes = flaw === 'lets shared pass exclusive' && mode === 'shared';
      const free = store.fits(row, mode) && (!shut || passes);
      if (flaw === 'yields between reading and writing') await null;
      if (free) {
        row.line = row.line.filter((place) => place.holder !== holder);
        const lease = store.grant(row, holder, mode, leaseMs);
        if (before !== undefined && flaw === 'gives the old token after the end') return { token: before.token };
        if (flaw !== 'counts tokens per process') return { token: lease.token };
        own.set(key, Math.max((own.get(key) ?? 0) + 1, clock.now()));
        return { token: own.get(key) as number };
      }
      if (store.line) wait(row, holder, leaseMs, mode);
      const last = row.leases.toSorted((a, b) => b.endsMs - a.endsMs)[0] as Lease;
      return {
        busy: true,
        ...(flaw !== 'names no holder' && { holder: last.holder }),
        ...(flaw !== 'tells no retryAfterMs' && { retryAfterMs: last.endsMs - clock.now() }),
        ...(store.line && { queued: true }),
      };
    },
    async renew(key, holder, token, leaseMs) {
      const known = store.rows.get(key)?.leases ?? [];
      const live = store.row(key);
      const lease = (flaw === 'revives' ? known : live.leases).find(
        (one) =>
          (one.holder === cut(holder) || flaw === 'renews for any holder') &&
          (one.token === token || flaw === 'renews under any token' || flaw === 'counts tokens per process'),
      );
      if (lease === undefined) return false;
      if (!live.leases.includes(lease)) live.leases.push(lease);
      if (flaw !== 'renews nothing') lease.endsMs = clock.now() + leaseMs;
      const waits = live.line.length > 0 || (live.contended && flaw === 'stays contended');
      const contended = waits && flaw !== 'never sees contention';
      if (contended && flaw === 'says false at contention') return false;
      return contended || flaw === 'calls every renewal contended' ? { contended: true } : true;
    },
    async release(key, holder, token) {
      const known = store.rows.get(key)?.leases ?? [];
      const row = store.row(key);
      if (token === 0 && flaw !== 'keeps who has left') row.line = row.line.filter((place) => place.holder !== holder);
      const lease = (flaw === 'releases what has ended' ? known : row.leases).find(
        (one) =>
          (one.holder === cut(holder) || (flaw === 'releases for any holder' && token !== 0)) &&
          (one.token === token || flaw === 'releases under any token' || flaw === 'counts tokens per process'),
      );
      if (lease === undefined) return flaw === 'says true to every release' && token !== 0;
      const left = (calls.get(holder) ?? 1) - 1;
      calls.set(holder, left);
      if (flaw === 'wants as many releases as calls' && left > 0) return true;
      store.release(
        key,
        row,
        row.leases.filter((one) => one !== lease),
        driver,
      );
      return true;
    },
    async close() {
      if (flaw === 'forgets all on close') store.rows.clear();
      if (flaw === 'wakes after close') return;
      for (const watchers of store.watchers.values()) {
        for (const one of watchers) if (one.driver === driver) watchers.delete(one);
      }
    },
  };
  if (abilities.inspect !== (flaw === 'has what it has not')) {
    driver.inspect = async (key) => {
      const known = store.rows.get(key)?.leases[0];
      const lease = store.row(key).leases[0] ?? (flaw === 'inspects what has ended' ? known : undefined);
      if (lease === undefined) return undefined;
      const { holder, mode, endsMs } = lease;
      return flaw === 'inspects the holder alone'
        ? ({ holder } as never)
        : { holder, mode, expiresInMs: endsMs - clock.now() };
    };
  }
  if (abilities.watch !== (flaw === 'has what it has not')) driver.watch = watchOn(store, driver);
  return driver;
}

function watchOn(store: ReferenceStore, driver: LeaseDriver): NonNullable<LeaseDriver['watch']> {
  return async (key, wake) => {
    const watchers = store.watchers.get(key) ?? new Set();
    if (store.flaw !== 'watches ten keys' || store.watchers.size < 10) store.watchers.set(key, watchers);
    const one = { wake, driver };
    watchers.add(one);
    return () => {
      if (store.flaw === 'stops all watchers of a key') watchers.clear();
      if (store.flaw !== 'wakes after the stop') watchers.delete(one);
    };
  };
}

/** A driver whose calls fail until `end`. */
function outageOn(store: ReferenceStore, abilities: LeaseAbilities): { driver: LeaseDriver; end: () => void } {
  const inner = driverOn(store, abilities);
  let isUp = false;
  const down = async (call: () => Promise<never>, instead: { [flaw in Flaw]?: unknown }): Promise<never> => {
    if (isUp && store.flaw !== 'never tries again') return call();
    if (store.flaw !== undefined && store.flaw in instead) return instead[store.flaw] as never;
    throw new Error('connection refused');
  };
  const driver: LeaseDriver = {
    ...inner,
    acquire: (...args) =>
      down(() => inner.acquire(...args) as Promise<never>, {
        'is busy when out of reach': { busy: true },
        'is free when out of reach': { token: 1 },
      }),
    renew: (...args) => down(() => inner.renew(...args) as Promise<never>, { 'renews false when out of reach': false }),
    release: (...args) => down(() => inner.release(...args) as Promise<never>, {}),
  };
  if (inner.inspect) driver.inspect = (key) => down(() => inner.inspect?.(key) as Promise<never>, {});
  return {
    driver,
    end: () => {
      isUp = true;
    },
  };
}

/** Benches of the reference driver, right or with one flaw. */
export function referenceBench(abilities: LeaseAbilities, flaw?: Flaw): () => LeaseBench {
  return () => {
    const clock = new VirtualClock();
    const store = new ReferenceStore(clock, flaw, abilities.line !== (flaw === 'keeps a line'));
    const remote = abilities.remote !== (flaw === 'has what it has not');
    return {
      open: () => driverOn(store, abilities),
      pass: (ms) => clock.advance(ms),
      now: () => clock.now(),
      turnBack: (ms) => clock.jump(-ms),
      shortMs: 1_000,
      ...(remote && { outage: () => outageOn(store, abilities) }),
    };
  };
}

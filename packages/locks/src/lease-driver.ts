import type { LockMode } from './types.ts';

/** How a lease is asked for. */
export interface LeaseRequest {
  readonly mode: LockMode;
  /** Aborted when the locker has given the call up (`requestTimeoutMs`). A driver may reject with its reason, or go on. */
  readonly signal: AbortSignal;
}

/** The lease is ours, from the moment the store said so. */
export interface LeaseGrant {
  /** max(the key's last token + 1, the store's clock in whole ms): rises over releases, expiries and restarts. */
  readonly token: number;
}

/** Somebody else has the key. */
export interface LeaseBusy {
  readonly busy: true;
  /** Who has it, where the store can tell. */
  readonly holder?: string | undefined;
  /** What is left of that lease: before that, only a release can free the key. */
  readonly retryAfterMs?: number | undefined;
  /** The store keeps a line and this holder stands in it: a release hands the key on to the first in it. */
  readonly queued?: true | undefined;
}

/** Renewed; `contended` when others are known to wait for the key. */
export type LeaseRenewal = boolean | { readonly contended: true };

/** Who has a key, as the store sees it at one instant. */
export interface LeaseState {
  /** Of several shared holders, one. */
  readonly holder: string;
  readonly mode: LockMode;
  readonly expiresInMs: number;
}

/**
 * What a store has to do so that {@link leaseLocker} can keep leases in it: three short calls, each one atomic step
 * at the store, and three more where it can. Where the store has a clock of its own, leases are counted by that.
 *
 * A call that rejects means "no answer": the locker then tries again, or says LOCK_UNAVAILABLE. So a driver never
 * reports `busy` or a free key for an error, and never tries again by itself. Keys are any text but the empty one,
 * up to 512 bytes in UTF-8; a holder is an opaque text of at most 64 ASCII characters, unique per acquisition.
 */
export interface LeaseDriver {
  /** For people, in errors. */
  readonly name: string;
  /**
   * What `acquire` can do; the locker refuses other modes before it calls. A store with shared leases says in `renew` when
   * others wait: otherwise those who come to share could keep an exclusive one out for ever.
   */
  readonly modes: readonly LockMode[];
  /**
   * Takes the key if it is free, for `leaseMs`. Asked again by the holder itself — an answer may have been lost — it
   * gives the same token and the lease starts anew.
   */
  acquire(key: string, holder: string, leaseMs: number, request: LeaseRequest): Promise<LeaseGrant | LeaseBusy>;
  /** The lease then lasts `leaseMs` from now. `false`: it is not this holder's any more; an ended one never revives. */
  renew(key: string, holder: string, token: number, leaseMs: number): Promise<LeaseRenewal>;
  /**
   * Frees the key and wakes the watchers; a store that keeps a line hands it on in the same step. `false`: it was not
   * this holder's any more, and nothing was opened. Token 0 takes a holder that only waits out of the line.
   */
  release(key: string, holder: string, token: number): Promise<boolean>;
  /** Who has the key; undefined when it is free. */
  inspect?(key: string): Promise<LeaseState | undefined>;
  /**
   * Calls `wake` after each release of the key, until the returned function is called. Too many wakes do no harm, and
   * neither do lost ones: the locker also asks now and then.
   */
  watch?(key: string, wake: () => void): Promise<() => void>;
  /** Closes what the driver itself has opened, and nothing else. */
  close?(): Promise<void>;
}

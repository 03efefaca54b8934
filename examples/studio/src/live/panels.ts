import type { KeyedMutex } from '@chunks/locks';
import type { ChunkManager } from '@chunks/manager';
import type { State } from '@chunks/state';
import type { Origin } from '../play/origin.ts';
import type { Panels, Percentiles } from '../protocol.ts';

export interface PanelSources {
  readonly locks: KeyedMutex;
  readonly state: State<object>;
  readonly manager: ChunkManager;
  readonly origin: Origin;
}

// The limits at which whoever runs such a server should look.
const AMBER_ACTIVE = 100;
const AMBER_AGE_MS = 20_000;

type Histogram = ReturnType<KeyedMutex['stats']>['wait'];

const percentiles = (histogram: Histogram): Percentiles => {
  const { count, p50, p95, p99, max } = histogram.toJSON();
  return { count, p50, p95, p99, max };
};

/** The numbers beneath the map. */
export function readPanels({ locks, state, manager, origin }: PanelSources): Panels {
  const held = locks.stats();
  const updates = state.stats();
  const cache = manager.stats();
  return {
    locks: {
      active: held.activeLocks,
      waiting: held.waiting,
      // To a tenth of a second: a number that changes at every look would be sent at every look.
      oldestMs: Math.floor(held.oldestLockAgeMs / 100) * 100,
      acquired: held.acquired,
      timedOut: held.timedOut,
      wait: percentiles(held.wait),
      amber: held.activeLocks > AMBER_ACTIVE || held.oldestLockAgeMs > AMBER_AGE_MS,
    },
    state: {
      updates: updates.updates,
      commits: updates.commits,
      conflicts: updates.conflicts,
      coalesced: Math.max(0, updates.batch.sum - updates.batch.count),
      latency: percentiles(updates.latency),
    },
    cache: {
      queued: cache.queued,
      active: cache.active,
      waiters: cache.waiters,
      bytesFetched: cache.bytesFetched,
      bytesWasted: cache.bytesWasted,
      retries: cache.retries,
      criticalWait: percentiles(cache.wait.CRITICAL),
    },
    origin: { requests: origin.requests, faults: origin.faults, settings: origin.settings },
  };
}

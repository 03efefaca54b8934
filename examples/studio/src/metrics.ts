import type { PanelSources } from './live/panels.ts';

/** What no package counts, read when it is asked for. */
export interface Counters {
  readonly sizeMismatches: Readonly<Record<'refused' | 'failed', number>>;
  readonly uploadBytes: number;
  readonly uploadStages: readonly string[];
  readonly liveClients: number;
}

interface Distribution {
  readonly count: number;
  readonly sum: number;
  percentile(p: number): number;
}

type Labels = Readonly<Record<string, string>>;

/** Lines of Prometheus text: a family is announced once, then its samples follow. */
class Exposition {
  readonly #lines: string[] = [];

  family(
    name: string,
    type: 'counter' | 'gauge' | 'summary',
    help: string,
    samples: readonly [Labels, number][],
  ): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples) this.#sample(name, labels, value);
  }

  counter(name: string, help: string, value: number): void {
    this.family(name, 'counter', help, [[{}, value]]);
  }

  gauge(name: string, help: string, value: number): void {
    this.family(name, 'gauge', help, [[{}, value]]);
  }

  /** The packages measure in ms, Prometheus in seconds. */
  seconds(name: string, help: string, distributions: readonly [Labels, Distribution][]): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} summary`);
    for (const [labels, distribution] of distributions) {
      for (const quantile of [0.5, 0.95, 0.99]) {
        this.#sample(name, { ...labels, quantile: String(quantile) }, distribution.percentile(quantile) / 1000);
      }
      this.#sample(`${name}_sum`, labels, distribution.sum / 1000);
      this.#sample(`${name}_count`, labels, distribution.count);
    }
  }

  toString(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  #sample(name: string, labels: Labels, value: number): void {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${text}"`);
    this.#lines.push(`${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${value}`);
  }
}

const labelled = (label: string, values: Readonly<Record<string, number>>): [Labels, number][] =>
  Object.entries(values).map(([key, value]) => [{ [label]: key }, value]);

const tally = (words: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = { uploading: 0, assembling: 0, ready: 0, failed: 0 };
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
};

/** Everything that the studio counts, as Prometheus text. */
export function metricsText({ locks, state, manager, origin }: PanelSources, counters: Counters): string {
  const out = new Exposition();
  const held = locks.stats();
  out.gauge('chunks_locks_active', 'Locks held now.', held.activeLocks);
  out.gauge('chunks_locks_waiting', 'Waiters for a lock now.', held.waiting);
  out.gauge('chunks_lock_oldest_seconds', 'Age of the oldest lock.', held.oldestLockAgeMs / 1000);
  out.counter('chunks_lock_acquired_total', 'Locks granted.', held.acquired);
  out.counter('chunks_lock_timeouts_total', 'Waits for a lock that timed out.', held.timedOut);
  out.counter('chunks_lock_reclaimed_total', 'Locks whose lease ran out.', held.expired);
  out.seconds('chunks_lock_wait_seconds', 'Time from asking for a lock to having it.', [[{}, held.wait]]);
  out.seconds('chunks_lock_hold_seconds', 'Time from having a lock to giving it back.', [[{}, held.hold]]);

  const updates = state.stats();
  out.counter('chunks_state_updates_total', 'Updates asked for.', updates.updates);
  out.counter('chunks_state_commits_total', 'Versions written.', updates.commits);
  out.counter('chunks_state_attempts_total', 'Conditional writes tried.', updates.attempts);
  out.counter('chunks_state_conflicts_total', 'Conditional writes lost to another writer.', updates.conflicts);
  out.seconds('chunks_state_update_seconds', 'Time of one update, retries included.', [[{}, updates.latency]]);

  const cache = manager.stats();
  out.family('chunks_queue_depth', 'gauge', 'Chunks waiting to be fetched.', labelled('priority', cache.queued));
  out.gauge('chunks_cache_fetches_active', 'Fetches on their way.', cache.active);
  out.gauge('chunks_cache_waiters', 'Readers waiting for a chunk.', cache.waiters);
  out.counter('chunks_cache_fetched_bytes_total', 'Bytes that came from the origin.', cache.bytesFetched);
  out.counter('chunks_cache_wasted_bytes_total', 'Bytes fetched that were of no use.', cache.bytesWasted);
  out.counter('chunks_cache_retries_total', 'Fetches tried again.', cache.retries);
  const waits = Object.entries(cache.wait).map(([priority, wait]): [Labels, Distribution] => [{ priority }, wait]);
  out.seconds('chunks_cache_wait_seconds', 'Time from asking for a chunk to having it.', waits);

  const mismatches = labelled('outcome', counters.sizeMismatches);
  out.family('chunks_size_mismatches_total', 'counter', 'Chunks whose size was not the expected one.', mismatches);
  out.counter('chunks_upload_bytes_total', 'Bytes of chunks that came in.', counters.uploadBytes);
  out.family('chunks_uploads', 'gauge', 'Uploads by stage.', labelled('stage', tally(counters.uploadStages)));
  out.counter('chunks_origin_requests_total', 'Requests to the built-in origin.', origin.requests);
  out.counter('chunks_origin_faults_total', 'Faults made on purpose.', origin.faults);
  out.gauge('chunks_live_clients', 'Pages listening to /live.', counters.liveClients);
  out.gauge('process_resident_memory_bytes', 'Resident memory.', process.memoryUsage.rss());
  return out.toString();
}

import type { Panels, Percentiles } from '../../src/protocol.ts';
import { byId, make, setData, setText } from '../dom.ts';
import { formatBytes, formatCount, formatMs } from '../format.ts';

interface Entry {
  readonly label: string;
  readonly hint: string;
  readonly read: (panels: Panels) => string;
}

const LOCKS: readonly Entry[] = [
  { label: 'active', hint: 'Held right now', read: (p) => formatCount(p.locks.active) },
  { label: 'waiting', hint: 'Callers in line for a key', read: (p) => formatCount(p.locks.waiting) },
  { label: 'oldest', hint: 'Age of the lock held longest', read: (p) => formatMs(p.locks.oldestMs) },
  { label: 'acquired', hint: 'Since the server started', read: (p) => formatCount(p.locks.acquired) },
  { label: 'timed out', hint: 'Waiters that gave up', read: (p) => formatCount(p.locks.timedOut) },
];

const STATE: readonly Entry[] = [
  { label: 'updates', hint: 'Changes asked for', read: (p) => formatCount(p.state.updates) },
  { label: 'commits', hint: 'Versions written', read: (p) => formatCount(p.state.commits) },
  { label: 'coalesced', hint: 'Updates that shared a commit', read: (p) => formatCount(p.state.coalesced) },
  { label: 'conflicts', hint: 'Another writer was first; read again', read: (p) => formatCount(p.state.conflicts) },
];

const CACHE: readonly Entry[] = [
  { label: 'in flight', hint: 'Fetches from the origin', read: (p) => formatCount(p.cache.active) },
  { label: 'waiters', hint: 'Readers that wait for a chunk', read: (p) => formatCount(p.cache.waiters) },
  { label: 'fetched', hint: 'Bytes from the origin', read: (p) => formatBytes(p.cache.bytesFetched) },
  { label: 'wasted', hint: 'Fetched and thrown away', read: (p) => formatBytes(p.cache.bytesWasted) },
  { label: 'retries', hint: 'Fetches tried again', read: (p) => formatCount(p.cache.retries) },
];

const CLASSES = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'] as const;

const WAITS: readonly { label: string; read: (panels: Panels) => Percentiles }[] = [
  { label: 'lock', read: (p) => p.locks.wait },
  { label: 'commit', read: (p) => p.state.latency },
  { label: 'CRITICAL chunk', read: (p) => p.cache.criticalWait },
];

/** The panels under the columns: numbers that stay in their places. */
export class NumberPanels {
  readonly #locks = byId('panel-locks', HTMLElement);
  readonly #warning = byId('locks-warning', HTMLElement);
  readonly #updates: ((panels: Panels) => void)[] = [];

  constructor() {
    this.#fill('locks-numbers', LOCKS);
    this.#fill('state-numbers', STATE);
    this.#fill('cache-numbers', CACHE);
    this.#fillQueue(byId('queue', HTMLElement));
    this.#fillWaits(byId('waits', HTMLTableSectionElement));
  }

  render(panels: Panels | undefined): void {
    if (panels === undefined) return;
    for (const update of this.#updates) update(panels);
    setData(this.#locks, 'amber', String(panels.locks.amber));
    const reason = panels.locks.active > 100 ? 'over 100 active' : 'one is held over 20 s';
    setText(this.#warning, panels.locks.amber ? `⚠ amber: ${reason}` : 'calm: under 100 active, none over 20 s');
  }

  #fill(id: string, entries: readonly Entry[]): void {
    const list = byId(id, HTMLDListElement);
    for (const entry of entries) {
      const value = make('dd', { text: '–' });
      list.append(make('div', { title: entry.hint }, make('dt', { text: entry.label }), value));
      this.#updates.push((panels) => setText(value, entry.read(panels)));
    }
  }

  #fillQueue(list: HTMLElement): void {
    for (const name of CLASSES) {
      const count = make('span', { className: 'count', text: '–' });
      const meter = make('meter', { title: `${name} chunks in the queue` });
      meter.ariaLabel = `${name} chunks in the queue`;
      const letter = make('span', { className: 'letter', text: name.charAt(0) });
      letter.ariaHidden = 'true';
      const row = make('li', {}, letter, make('span', { className: 'class', text: name }), meter, count);
      row.dataset['class'] = name;
      list.append(row);
      this.#updates.push((panels) => {
        setText(count, formatCount(panels.cache.queued[name]));
        // A common scale, so that the four bars can be compared.
        meter.max = Math.max(8, ...CLASSES.map((one) => panels.cache.queued[one]));
        meter.value = panels.cache.queued[name];
      });
    }
  }

  #fillWaits(body: HTMLTableSectionElement): void {
    for (const wait of WAITS) {
      const head = make('th', { text: wait.label });
      head.scope = 'row';
      const cells = Array.from({ length: 5 }, () => make('td', { text: '–' }));
      body.append(make('tr', {}, head, ...cells));
      this.#updates.push((panels) => {
        const { count, p50, p95, p99, max } = wait.read(panels);
        const texts = [formatCount(count), ...[p50, p95, p99, max].map((ms) => (count === 0 ? '–' : formatMs(ms)))];
        cells.forEach((cell, index) => {
          setText(cell, texts[index] ?? '–');
        });
      });
    }
  }
}

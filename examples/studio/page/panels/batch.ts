import type { AssemblyReport, BatchFile, BatchView, FileView } from '../../src/protocol.ts';
import { byId, make, setData, setHidden, setText } from '../dom.ts';
import { formatBytes, formatMs, plural, shortDigest } from '../format.ts';

interface Row {
  readonly node: HTMLLIElement;
  readonly pick: HTMLButtonElement;
  readonly name: HTMLElement;
  readonly size: HTMLElement;
  readonly status: HTMLElement;
  readonly version: HTMLElement;
}

/** The second column: the versioned record of all files, and how the chosen one was put together. */
export class BatchColumn {
  readonly #version = byId('batch-version', HTMLElement);
  readonly #summary = byId('batch-summary', HTMLElement);
  readonly #list = byId('batch-files', HTMLUListElement);
  readonly #empty = byId('batch-empty', HTMLElement);
  readonly #progress = byId('assembly-progress', HTMLProgressElement);
  readonly #facts = {
    engine: byId('assembly-engine', HTMLElement),
    time: byId('assembly-time', HTMLElement),
    memory: byId('assembly-memory', HTMLElement),
    digest: byId('assembly-digest', HTMLElement),
  };
  readonly #remove = byId('remove-file', HTMLButtonElement);
  readonly #rows = new Map<string, Row>();
  readonly #onPick: (id: string) => void;
  #selected: string | undefined;

  constructor(onPick: (id: string) => void, onRemove: (id: string) => void) {
    this.#onPick = onPick;
    this.#remove.addEventListener('click', () => {
      if (this.#selected !== undefined) onRemove(this.#selected);
    });
  }

  render(batch: BatchView | undefined, file: FileView | undefined): void {
    this.#selected = file?.id;
    setText(this.#version, batch === undefined ? '–' : `v${batch.version}`);
    const complete = batch?.files.filter((one) => one.status === 'complete').length ?? 0;
    const files = batch?.files ?? [];
    setText(
      this.#summary,
      files.length === 0 ? 'no files yet' : `${plural(files.length, 'file')}, ${complete} complete`,
    );
    setHidden(this.#empty, files.length > 0);
    // Newest first: that is the one somebody has just dropped.
    const newest = [...files].reverse();
    const gone = new Set(this.#rows.keys());
    newest.forEach((one, place) => {
      gone.delete(one.fileId);
      this.#renderRow(one, place);
    });
    for (const id of gone) {
      this.#rows.get(id)?.node.remove();
      this.#rows.delete(id);
    }
    this.#renderAssembly(file);
    this.#remove.disabled = file === undefined;
  }

  #renderRow(file: BatchFile, place: number): void {
    let row = this.#rows.get(file.fileId);
    if (row === undefined) {
      row = this.#newRow(file.fileId);
      this.#rows.set(file.fileId, row);
    }
    if (this.#list.children[place] !== row.node) this.#list.insertBefore(row.node, this.#list.children[place] ?? null);
    setText(row.name, file.name);
    setText(row.size, formatBytes(file.sizeBytes));
    setText(row.status, file.status === 'complete' ? '✓ complete' : '… started');
    setData(row.status, 'status', file.status);
    setText(row.version, `v${file.version}`);
    row.pick.setAttribute('aria-pressed', String(file.fileId === this.#selected));
  }

  #newRow(fileId: string): Row {
    const name = make('span', { className: 'name' });
    const size = make('span', { className: 'size' });
    const status = make('span', { className: 'status' });
    const version = make('span', { className: 'version', title: 'Version of the record at which this was written' });
    const pick = make('button', { className: 'row' }, name, size, status, version);
    pick.type = 'button';
    pick.addEventListener('click', () => this.#onPick(fileId));
    return { node: make('li', {}, pick), pick, name, size, status, version };
  }

  #renderAssembly(file: FileView | undefined): void {
    const report = file?.assembly;
    const done = report !== undefined ? report.bytes : (file?.assembledBytes ?? 0);
    this.#progress.max = Math.max(1, file?.sizeBytes ?? 1);
    this.#progress.value = file !== undefined && file.sizeBytes === 0 && report !== undefined ? 1 : done;
    this.#progress.ariaLabel = 'Assembled';
    setText(
      this.#facts.engine,
      report === undefined ? stageWord(file) : `${report.engine}, ${plural(report.chunks, 'chunk')}`,
    );
    setText(this.#facts.time, report === undefined ? '–' : timeOf(report));
    setText(this.#facts.memory, report === undefined ? '–' : `+${formatBytes(report.rssGrowthBytes)}`);
    setText(this.#facts.digest, report === undefined ? '–' : shortDigest(report.sha256));
    this.#facts.digest.title = report === undefined ? '' : `sha-256 ${report.sha256}`;
  }
}

function stageWord(file: FileView | undefined): string {
  if (file?.stage === 'assembling') return 'copying…';
  if (file?.stage === 'uploading') return 'waits for all chunks';
  return '–';
}

function timeOf(report: AssemblyReport): string {
  if (report.durationMs <= 0 || report.bytes === 0) return formatMs(report.durationMs);
  return `${formatMs(report.durationMs)}, ${formatBytes((report.bytes * 1000) / report.durationMs)}/s`;
}

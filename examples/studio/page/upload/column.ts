import type { FileView } from '../../src/protocol.ts';
import { byId, make, setData, setText } from '../dom.ts';
import { formatBytes, formatMs, plural } from '../format.ts';
import { tally } from '../map/cells.ts';
import { request } from '../request.ts';
import type { UploadController, UploadState } from './controller.ts';
import type { Unfinished } from './memory.ts';
import { RateMeter } from './rate.ts';
import { makeTune } from './tune.ts';

const MAX_IN_FLIGHT_SHOWN = 6;
const TUNE_BYTES = 64 * 1024 * 1024;

/** The first column: where a file comes in, how far it is, and what is left from before a reload. */
export class UploadColumn {
  readonly #controller: UploadController;
  readonly #picker = byId('picker', HTMLInputElement);
  readonly #sample = byId('sample', HTMLButtonElement);
  readonly #tune = byId('tune', HTMLButtonElement);
  readonly #name = byId('upload-name', HTMLElement);
  readonly #status = byId('upload-status', HTMLElement);
  readonly #bar = byId('upload-progress', HTMLProgressElement);
  readonly #chunks = byId('upload-chunks', HTMLElement);
  readonly #rate = byId('upload-rate', HTMLElement);
  readonly #flight = byId('upload-flight', HTMLElement);
  readonly #pause = byId('upload-pause', HTMLButtonElement);
  readonly #discard = byId('upload-discard', HTMLButtonElement);
  readonly #problem = byId('upload-problem', HTMLElement);
  readonly #unfinished = byId('unfinished', HTMLUListElement);
  readonly #meter = new RateMeter();
  #measuredId: string | undefined;
  #shownUnfinished: readonly Unfinished[] = [];
  /** The upload that the file picker was opened for, if it was for one. */
  #pickFor: Unfinished | undefined;
  #sampleProblem: string | undefined;

  constructor(controller: UploadController) {
    this.#controller = controller;
    this.#picker.addEventListener('change', () => this.#picked());
    this.#picker.addEventListener('cancel', () => {
      this.#pickFor = undefined;
    });
    byId('choose', HTMLButtonElement).addEventListener('click', () => {
      this.#pickFor = undefined;
      this.#picker.click();
    });
    this.#sample.addEventListener('click', () => void this.#load(this.#sample, loadSample));
    this.#tune.addEventListener('click', () => void this.#load(this.#tune, loadTune));
    this.#pause.addEventListener('click', () => {
      if (isStopped(controller.state)) controller.resume();
      else controller.pause();
    });
    this.#discard.addEventListener('click', () => {
      const { id } = controller.state;
      if (id !== undefined) void controller.discard(id);
    });
  }

  render(state: UploadState, file: FileView | undefined, nowMs: number): void {
    const { progress } = state;
    const idle = state.phase === 'idle';
    setText(this.#name, idle ? 'No upload' : state.name);
    this.#name.title = state.name;
    setText(this.#status, statusOf(state, nowMs));
    setData(this.#status, 'phase', state.phase);
    const bytes = arrivedBytes(state, file);
    this.#bar.max = Math.max(1, state.sizeBytes);
    this.#bar.value = state.phase === 'done' ? this.#bar.max : bytes;
    setText(this.#chunks, progress === undefined ? '–' : `${progress.storedChunks} of ${progress.chunkCount} stored`);
    setText(this.#flight, inFlightWords(progress?.inFlight ?? []));
    this.#renderRate(state, bytes, nowMs);
    const running = ['asking', 'sending', 'waiting'].includes(state.phase);
    const stopped = isStopped(state);
    this.#pause.disabled = !running && !stopped;
    setText(this.#pause, stopped ? (state.phase === 'failed' ? 'Try again' : 'Go on') : 'Pause');
    this.#discard.disabled = state.id === undefined || (!running && !stopped);
    setText(this.#problem, state.problem ?? this.#sampleProblem ?? '');
    this.#renderUnfinished(state.unfinished);
  }

  #renderRate(state: UploadState, bytes: number, nowMs: number): void {
    if (state.phase !== 'sending' || state.id !== this.#measuredId) {
      this.#meter.reset();
      this.#measuredId = state.id;
    }
    if (state.phase !== 'sending') {
      setText(this.#rate, '–');
      return;
    }
    this.#meter.add(nowMs, bytes);
    const rate = this.#meter.bytesPerSecond();
    if (rate === undefined || rate <= 0) setText(this.#rate, '…');
    else setText(this.#rate, `${formatBytes(rate)}/s, ${formatMs(((state.sizeBytes - bytes) * 1000) / rate)} left`);
  }

  #renderUnfinished(uploads: readonly Unfinished[]): void {
    if (uploads === this.#shownUnfinished) return;
    this.#shownUnfinished = uploads;
    this.#unfinished.replaceChildren(...uploads.map((kept) => this.#unfinishedItem(kept)));
  }

  #unfinishedItem(kept: Unfinished): HTMLLIElement {
    const choose = make('button', { text: 'Choose the same file to go on' });
    choose.type = 'button';
    choose.className = 'primary';
    choose.addEventListener('click', () => {
      this.#pickFor = kept;
      this.#picker.click();
    });
    const discard = make('button', { text: 'Discard' });
    discard.type = 'button';
    discard.addEventListener('click', () => void this.#controller.discard(kept.id));
    const words = make(
      'p',
      {},
      make('strong', { text: kept.name }),
      document.createTextNode(` ${formatBytes(kept.size)}, not finished`),
    );
    return make('li', {}, words, choose, discard);
  }

  #picked(): void {
    const files = [...(this.#picker.files ?? [])];
    const kept = this.#pickFor;
    this.#pickFor = undefined;
    // Choosing the same file a second time must be a change again.
    this.#picker.value = '';
    const [first] = files;
    if (kept !== undefined && first !== undefined) this.#controller.goOn(kept, first);
    else this.#controller.add(files);
  }

  async #load(button: HTMLButtonElement, load: () => Promise<File>): Promise<void> {
    button.disabled = true;
    this.#sampleProblem = undefined;
    try {
      this.#controller.add([await load()]);
    } catch (error) {
      this.#sampleProblem = `That could not be loaded: ${error instanceof Error ? error.message : String(error)}`;
    } finally {
      button.disabled = false;
    }
  }
}

async function loadSample(): Promise<File> {
  const bytes = await (await request('/sample.webm')).blob();
  return new File([bytes], 'sample.webm', { type: 'video/webm', lastModified: 0 });
}

async function loadTune(): Promise<File> {
  const breathe = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
  return new File([await makeTune(TUNE_BYTES, breathe)], 'tune.wav', { type: 'audio/wav', lastModified: 0 });
}

function isStopped(state: UploadState): boolean {
  return state.phase === 'paused' || state.phase === 'failed';
}

/** What the server has seen of it, to the byte; its own word until then. */
function arrivedBytes(state: UploadState, file: FileView | undefined): number {
  if (file === undefined || file.id !== state.id) return 0;
  const sums = tally(file.uploadRuns, file.sizeBytes);
  return sums.present + sums.received;
}

function statusOf(state: UploadState, nowMs: number): string {
  const line = state.queued > 0 ? `, ${plural(state.queued, 'more file')} in line` : '';
  if (state.phase === 'waiting') {
    const inMs = Math.max(0, (state.retryAtMs ?? nowMs) - nowMs);
    return `Waiting for the server, asks again in ${(inMs / 1000).toFixed(1)} s${line}`;
  }
  const words: Record<Exclude<UploadState['phase'], 'waiting'>, string> = {
    idle: 'Drop a file anywhere on this page.',
    asking: 'Asking the server what it has',
    sending: `Sending ${formatBytes(state.sizeBytes)}`,
    paused: 'Paused',
    assembling: 'All chunks stored, assembling',
    failed: 'Stopped',
    done: '✓ Uploaded, every digest right',
  };
  return `${words[state.phase]}${line}`;
}

function inFlightWords(indices: readonly number[]): string {
  if (indices.length === 0) return '–';
  const shown = [...indices].sort((a, b) => a - b).slice(0, MAX_IN_FLIGHT_SHOWN);
  return `chunk ${shown.join(', ')}`;
}

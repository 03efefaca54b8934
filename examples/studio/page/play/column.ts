import type { FileView } from '../../src/protocol.ts';
import { byId, setData, setHidden, setText } from '../dom.ts';
import { formatBytes, formatClock, formatMs } from '../format.ts';
import { tally } from '../map/cells.ts';
import { request } from '../request.ts';
import { coldByte } from './cold.ts';
import { Player } from './player.ts';
import { isPlayable } from './story.ts';

/** The third column: the player, what it waits for, and two buttons to make it wait again. */
export class PlayColumn {
  readonly player: Player;
  readonly #screen = byId('screen', HTMLElement);
  readonly #empty = byId('play-empty', HTMLElement);
  readonly #download = byId('download', HTMLAnchorElement);
  readonly #jump = byId('jump', HTMLButtonElement);
  readonly #clear = byId('clear-cache', HTMLButtonElement);
  readonly #retry = byId('play-retry', HTMLButtonElement);
  readonly #position = byId('play-position', HTMLElement);
  readonly #status = byId('play-status', HTMLElement);
  readonly #lastJump = byId('play-jump', HTMLElement);
  readonly #cached = byId('play-cached', HTMLElement);
  #file: FileView | undefined;
  #clearing = false;

  constructor(onChange: () => void) {
    this.player = new Player(byId('video', HTMLVideoElement), onChange);
    this.#jump.addEventListener('click', () => {
      const byte = coldByte(this.#file?.cacheRuns ?? [], Math.random());
      if (byte !== undefined) this.player.seekToByte(byte);
    });
    this.#retry.addEventListener('click', () => this.player.retry());
    this.#clear.addEventListener('click', () => void this.#emptyCache());
  }

  render(file: FileView | undefined): void {
    this.#file = file;
    const ready = file?.stage === 'ready' && file.sizeBytes > 0;
    const playable = ready && isPlayable(file.contentType);
    this.player.show(playable ? file : undefined);
    const { state } = this.player;
    setHidden(this.#empty, playable);
    setText(this.#empty, emptyText(file, ready));
    setData(this.#screen, 'kind', file?.contentType.startsWith('audio/') ? 'audio' : 'video');
    setHidden(this.#download, !ready);
    if (ready) {
      this.#download.href = `/play/${encodeURIComponent(file.id)}`;
      this.#download.download = file.name;
    }
    const timed = playable && state.durationSeconds > 0;
    this.#jump.disabled = !timed || !file.cacheRuns.some((run) => run.state === 'missing');
    this.#clear.disabled = !ready || this.#clearing;
    setHidden(this.#retry, state.problem === undefined);
    setText(this.#position, timed ? `${formatClock(state.seconds)} of ${formatClock(state.durationSeconds)}` : '–');
    setText(this.#status, playable ? statusOf(this.player) : '–');
    setText(this.#lastJump, state.lastJumpMs === undefined ? '–' : formatMs(state.lastJumpMs));
    const present = ready ? tally(file.cacheRuns, file.sizeBytes).present : 0;
    setText(this.#cached, ready ? `${formatBytes(present)} of ${formatBytes(file.sizeBytes)}` : '–');
  }

  async #emptyCache(): Promise<void> {
    const id = this.#file?.id;
    if (id === undefined) return;
    this.#clearing = true;
    this.#clear.disabled = true;
    try {
      await this.player.without(async () => {
        await request(`/play/${encodeURIComponent(id)}/cache`, { method: 'DELETE' });
      });
    } catch {
      // The map goes on showing what is in the cache: that says it.
    } finally {
      this.#clearing = false;
      this.#clear.disabled = false;
    }
  }
}

function emptyText(file: FileView | undefined, ready: boolean): string {
  if (file === undefined) return 'Your video plays here, through the range cache.';
  if (file.sizeBytes === 0) return 'An empty file: there is nothing to play.';
  if (!ready) return 'Plays as soon as the file is whole.';
  return `A browser does not play ${file.contentType || 'this type'}. Download it through the cache instead.`;
}

function statusOf(player: Player): string {
  const { problem, stalledSinceMs, jump, playing, started } = player.state;
  if (problem !== undefined) return problem;
  if (jump !== undefined && jump.tookMs === undefined && started) return 'jumping';
  if (stalledSinceMs !== undefined && playing) return `waits ${formatMs(performance.now() - stalledSinceMs)}`;
  return playing ? 'playing' : 'paused';
}

import type { FileView, Run } from '../../src/protocol.ts';
import { formatClock, formatMs, formatRange, plural } from '../format.ts';
import type { Phase } from '../upload/controller.ts';

/** Whether a browser can be asked to play it at all; anything else is offered as a download. */
export function isPlayable(contentType: string): boolean {
  return /^(video|audio)\//.test(contentType);
}

/** What a player does, as far as the story needs it. */
export interface Playing {
  readonly started: boolean;
  readonly playing: boolean;
  /** The last jump, while its picture has not come and for as long after as it takes to read about it. */
  readonly jump?: Jump | undefined;
}

export interface Jump {
  readonly toSeconds: number;
  /** What the reader had to wait for; undefined when it was in the cache. */
  readonly chunk: { readonly startByte: number; readonly endByte: number } | undefined;
  /** Undefined until the picture is there. */
  readonly tookMs: number | undefined;
}

/**
 * What a jump to this byte waits for: the CRITICAL run there, or next to it (time and bytes do not run quite alike).
 * One that is farther away belongs to somebody else, or to where the reader was before.
 */
export function awaitedRun(runs: readonly Run[], byte: number): Run | undefined {
  const distance = (run: Run): number => Math.max(run.startByte - byte, byte - run.endByte + 1, 0);
  return runs
    .filter((run) => run.priority === 'CRITICAL' && distance(run) <= run.endByte - run.startByte)
    .reduce<Run | undefined>((best, run) => (best && distance(best) <= distance(run) ? best : run), undefined);
}

export interface StoryInput {
  readonly connected: boolean;
  readonly file: FileView | undefined;
  readonly phase: Phase;
  readonly inFlight: number;
  readonly playing: Playing;
}

export interface Story {
  readonly tone: 'calm' | 'critical' | 'amber';
  readonly text: string;
}

const calm = (text: string): Story => ({ tone: 'calm', text });

/** One sentence under the map that says what is to be seen in it right now. */
export function tellStory(input: StoryInput): Story {
  const { connected, file, phase } = input;
  if (!connected || phase === 'waiting') {
    return {
      tone: 'amber',
      text: 'Waiting for the server. Nothing is lost: it is asked what it has when it is back, and only the rest is sent.',
    };
  }
  if (file === undefined) {
    return calm(
      'Drop a video. Watch it travel: in chunks to the server, into one file, and back through a range cache.',
    );
  }
  if (file.stage === 'failed') return { tone: 'amber', text: file.problem ?? 'This file could not be put together.' };
  if (file.stage === 'uploading') return tellUpload(file, input);
  if (file.stage === 'assembling') {
    return calm(
      'All chunks are there. They are copied in order into one file, which shows only when its every byte is right.',
    );
  }
  return tellPlay(file, input.playing);
}

function tellUpload(file: FileView, input: StoryInput): Story {
  if (input.phase === 'paused') return calm('Paused. The chunks that are stored stay stored.');
  if (input.inFlight === 0) {
    return calm(`“${file.name}” is not whole yet. Choose the same file to go on: only missing chunks are sent.`);
  }
  return calm(
    `${plural(input.inFlight, 'chunk')} on the way: each is checked by its digest and stored under its own lock. Reload, or kill the server: only missing chunks are sent again.`,
  );
}

function tellPlay(file: FileView, playing: Playing): Story {
  if (file.sizeBytes === 0) return calm('An empty file: whole, with nothing in it.');
  if (file.cacheRuns.some((run) => run.state === 'failed')) {
    return {
      tone: 'amber',
      text: 'A chunk failed after its last retry: its readers were told, all other chunks go on.',
    };
  }
  if (playing.jump !== undefined && playing.started) return tellJump(playing.jump);
  if (file.cacheRuns.length > 0 && file.cacheRuns.every((run) => run.state === 'present')) {
    return calm('The whole file is in the cache: no jump asks the origin any more. Empty the cache to start cold.');
  }
  if (!isPlayable(file.contentType)) {
    return calm('A browser does not play this. Download it and watch: the cache fetches it chunk by chunk, in order.');
  }
  if (!playing.started) {
    return calm('Press play, or click any cell to jump there: the cache asks the origin only for what somebody needs.');
  }
  return calm(
    'The bracket is the prefetch window: what comes next is HIGH, the rest MEDIUM. Click a cell far away and watch it overtake.',
  );
}

function tellJump({ toSeconds, chunk, tookMs }: Jump): Story {
  const jumped = `Jumped to ${formatClock(toSeconds)}`;
  const there = tookMs === undefined ? '' : ` There after ${formatMs(tookMs)}.`;
  if (chunk === undefined && tookMs === undefined) return calm(`${jumped}: the player is about to ask for that part.`);
  if (chunk === undefined) return calm(`${jumped}: that part is in the cache, nobody has to be asked.${there}`);
  const where = formatRange(chunk.startByte, chunk.endByte);
  return {
    tone: 'critical',
    text: `${jumped}: its chunk (${where}) turned CRITICAL and overtook all that was queued.${there}`,
  };
}

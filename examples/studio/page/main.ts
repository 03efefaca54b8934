import type { FileView } from '../src/protocol.ts';
import { byId, setData, setHidden, setText, throttled } from './dom.ts';
import { formatBytes } from './format.ts';
import { followLive } from './live/connection.ts';
import { EMPTY, type LiveState } from './live/store.ts';
import { tally } from './map/cells.ts';
import { fillLegend } from './map/legend.ts';
import { ChunkMap } from './map/widget.ts';
import { BatchColumn } from './panels/batch.ts';
import { NumberPanels } from './panels/numbers.ts';
import { OriginPanel } from './panels/origin.ts';
import { PlayColumn } from './play/column.ts';
import { tellStory } from './play/story.ts';
import { server } from './upload/api.ts';
import { UploadColumn } from './upload/column.ts';
import { UploadController } from './upload/controller.ts';
import { UploadMemory } from './upload/memory.ts';
import { Pauser } from './upload/pauser.ts';

/** Numbers move at most ten times a second. */
const RENDER_GAP_MS = 100;

let live: LiveState = EMPTY;
let connected = false;
let everConnected = false;
let selectedId: string | undefined;
let uploadId: string | undefined;
/** Files whose deletion was asked for: nobody may go on reading them. */
const leaving = new Set<string>();

const render = throttled(RENDER_GAP_MS, renderNow);
const pauser = new Pauser();
const uploads = new UploadController({
  server,
  memory: new UploadMemory(localStorage),
  wait: (ms, signal) => pauser.wait(ms, signal),
  now: () => performance.now(),
  random: Math.random,
  onChange(state) {
    // A new upload is what somebody wants to watch; afterwards they may look at another file.
    if (state.id !== uploadId && state.id !== undefined) selectedId = state.id;
    uploadId = state.id;
    render();
  },
});
const uploadColumn = new UploadColumn(uploads);
const batchColumn = new BatchColumn(
  (id) => {
    selectedId = id;
    render();
  },
  (id) => void removeFile(id),
);
const playColumn = new PlayColumn(render);
const numbers = new NumberPanels();
const origin = new OriginPanel();
const map = new ChunkMap(
  {
    canvas: byId('map', HTMLCanvasElement),
    tip: byId('tip', HTMLElement),
    tipTitle: byId('tip-title', HTMLElement),
    tipLines: byId('tip-lines', HTMLElement),
  },
  (byte) => playColumn.player.seekToByte(byte),
);

function selectedFile(): FileView | undefined {
  const files = [...live.files.values()].filter((file) => !leaving.has(file.id));
  return files.find((file) => file.id === selectedId) ?? files.at(-1);
}

async function removeFile(id: string): Promise<void> {
  leaving.add(id);
  // A player that still reads would be cut off in mid-body.
  if (playColumn.player.state.fileId === id) await playColumn.player.letGo();
  if (!(await uploads.discard(id))) leaving.delete(id);
  render();
}

function renderNow(): void {
  const nowMs = performance.now();
  const file = selectedFile();
  const { state } = uploads;
  const player = playColumn.player.state;
  uploadColumn.render(state, live.files.get(state.id ?? ''), nowMs);
  batchColumn.render(live.batch, file);
  playColumn.render(file);
  numbers.render(live.panels);
  origin.render(live.panels);
  renderMap(file);
  const own = state.id === file?.id;
  const story = tellStory({
    connected: connected || !everConnected,
    file,
    phase: own ? state.phase : 'idle',
    inFlight: own ? (state.progress?.inFlight.length ?? 0) : 0,
    playing: player,
  });
  const node = byId('story', HTMLElement);
  setText(node, story.text);
  setData(node, 'tone', story.tone);
  const badge = byId('connection', HTMLElement);
  setData(badge, 'state', connected ? 'live' : everConnected ? 'lost' : 'opening');
  setText(badge, connected ? 'live' : everConnected ? 'waiting for the server' : 'connecting');
  if (state.phase === 'waiting' || player.jump !== undefined || player.playing) render();
}

function renderMap(file: FileView | undefined): void {
  const nothing = file === undefined || file.sizeBytes === 0;
  setHidden(byId('map-empty', HTMLElement), !nothing);
  if (nothing) {
    const [title, words] =
      file === undefined
        ? ['Drop a video anywhere', 'Each cell is a piece of it, and shows where that piece is.']
        : ['No bytes, no chunks', 'It was uploaded and assembled all the same.'];
    setText(byId('map-empty-title', HTMLElement), title);
    setText(byId('map-empty-words', HTMLElement), words);
  }
  setText(byId('map-title', HTMLElement), file?.name ?? 'The chunk map');
  const layer = file !== undefined && file.stage === 'ready' ? 'cache' : 'upload';
  for (const step of ['uploading', 'assembling', 'ready'] as const) {
    const node = byId(`step-${step}`, HTMLElement);
    if (file?.stage === step) node.setAttribute('aria-current', 'step');
    else node.removeAttribute('aria-current');
  }
  if (file === undefined) {
    setText(byId('map-facts', HTMLElement), 'one cell is 1 MiB');
    map.show(undefined);
    return;
  }
  const runs = layer === 'cache' ? file.cacheRuns : file.uploadRuns;
  const { present } = tally(runs, file.sizeBytes);
  const where = layer === 'cache' ? 'in the cache' : 'on the server';
  setText(byId('map-facts', HTMLElement), `${formatBytes(present)} of ${formatBytes(file.sizeBytes)} ${where}`);
  const player = playColumn.player.state;
  const playheadByte = player.fileId === file.id && player.started ? player.byte : file.cursors[0]?.byte;
  map.show({
    fileId: file.id,
    layer,
    runs,
    sizeBytes: file.sizeBytes,
    playheadByte: layer === 'cache' ? playheadByte : undefined,
    windows: layer === 'cache' ? file.cursors.map((cursor) => cursor.window) : [],
  });
}

function acceptDrops(): void {
  const veil = byId('drop-veil', HTMLElement);
  let depth = 0;
  const carriesFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;
  addEventListener('dragenter', (event) => {
    if (carriesFiles(event)) setHidden(veil, (depth += 1) === 0);
  });
  addEventListener('dragleave', (event) => {
    if (carriesFiles(event)) setHidden(veil, (depth = Math.max(0, depth - 1)) === 0);
  });
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    depth = 0;
    setHidden(veil, true);
    uploads.add([...(event.dataTransfer?.files ?? [])]);
  });
}

fillLegend(byId('legend', HTMLUListElement));
acceptDrops();
followLive({
  onState(state) {
    live = state;
    render();
  },
  onConnected(now) {
    if (now && !connected) {
      pauser.wake();
      playColumn.player.retry();
    }
    connected = now;
    everConnected ||= now;
    render();
  },
});
void uploads.restore();
render();

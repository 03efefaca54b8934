import { formatClock } from '../../page/format.ts';
import { ask, textOf } from './browser.ts';
import { sha256OfFile, sha256OfUrl } from './film.ts';
import { LiveLog } from './live-log.ts';
import { newestUpload, shot, type Tour, waitForText } from './tour.ts';
import { eventually } from './verdicts.ts';

const MiB = 1024 * 1024;
const CACHE_CHUNK = 10 * MiB;
const HAVE_CURRENT_DATA = 2;

interface Where {
  readonly seconds: number;
  readonly duration: number;
  readonly ready: number;
  readonly seeking: boolean;
  readonly error: string;
}

const WHERE = `(() => {
  const video = document.getElementById('video');
  const { currentTime: seconds, duration, readyState: ready, seeking } = video;
  return { seconds, duration, ready, seeking, error: video.error?.message ?? '' };
})()`;

/** Where a jump will go, and how it is done. */
interface Aim {
  readonly byte: number;
  go(): Promise<void>;
}

/** The second journey: back through the range cache, with two jumps to places that nobody asked for before. */
export async function tourPlay(tour: Tour): Promise<void> {
  const { page, verdicts } = tour;
  await page.selectOption('#origin-pace', String(4 * MiB));
  await page.selectOption('#origin-latency', '200');
  const paced = await eventually(() => tour.live.panels?.origin.settings.paceBytesPerSecond === 4 * MiB, 5000);
  verdicts.check('the origin takes its pace from the page', paced);
  await setPlaying(tour);
  verdicts.check('the film plays', true, await ask<Where>(page, WHERE));
  await jump(tour, 'Enter on a cell', await aimByKeyboard(tour), '6-jumping');
  await shot(tour, '7-landed');
  await jump(tour, 'a click on a cell', await aimByMouse(tour), '8-jumping-again');
  await verifyCache(tour);
  await dieWhilePlaying(tour);
}

/** Three quarters into the film, walked to by arrow keys. */
async function aimByKeyboard({ page }: Tour): Promise<Aim> {
  await page.focus('#map');
  await page.keyboard.press('End');
  await waitForText(page, '#tip-title', /Bytes/);
  const last = Number(await page.getAttribute('#map', 'aria-valuemax'));
  for (let step = 0; step < Math.round(last / 4); step += 1) await page.keyboard.press('ArrowLeft');
  await page.waitForTimeout(150);
  const byte = firstByteIn((await page.getAttribute('#map', 'aria-valuetext')) ?? '');
  const go = async (): Promise<void> => {
    await page.keyboard.press('Enter');
    await page.keyboard.press('Escape');
    await ask<void>(page, 'document.activeElement.blur()');
  };
  return { byte, go };
}

/** The first cell under a moving mouse whose tooltip says that nobody has it. */
async function aimByMouse({ page }: Tour): Promise<Aim> {
  const box = await page.locator('#map').boundingBox();
  if (box === null) throw new Error('The map is not to be seen.');
  for (let y = box.y + box.height - 25; y > box.y; y -= 50) {
    for (let x = box.x + box.width / 3; x < box.x + box.width; x += 90) {
      await page.mouse.move(x, y);
      await page.waitForTimeout(120);
      if (!/not in the cache/.test(await textOf(page, '#tip-lines')) || !(await page.isVisible('#tip'))) continue;
      const byte = firstByteIn(await textOf(page, '#tip-title'));
      const go = async (): Promise<void> => {
        await page.mouse.click(x, y);
        await page.mouse.move(5, 5);
      };
      return { byte, go };
    }
  }
  throw new Error('No cell is cold.');
}

function firstByteIn(words: string): number {
  const found = /Bytes ([\d.]+)–[\d.]+ MiB/.exec(words);
  if (found === null) throw new Error(`“${words}” names no bytes.`);
  return Number(found[1]) * MiB;
}

async function jump(tour: Tour, how: string, aim: Aim, picture: string): Promise<void> {
  const { page, verdicts, live } = tour;
  const { duration } = await ask<Where>(page, WHERE);
  const seconds = (aim.byte / (live.file?.sizeBytes ?? 1)) * duration;
  const target = live.file?.cacheRuns.find((run) => run.startByte <= aim.byte && run.endByte > aim.byte);
  verdicts.check(`${how}: ${seconds.toFixed(1)} s is cold`, target?.state === 'missing', target?.state);
  live.takeCritical();
  await aim.go();
  const near = (run: { startByte: number; endByte: number }): boolean =>
    run.startByte < aim.byte + CACHE_CHUNK && run.endByte > aim.byte - CACHE_CHUNK;
  const critical = await eventually(() => live.takeCritical().some(near), 5000);
  verdicts.check(`${how}: the server has its chunk as CRITICAL`, critical);
  const story = await waitForText(page, '#story', new RegExp(`^Jumped to ${formatClock(seconds)}: .*CRITICAL`));
  const [, from = '', to = ''] = /\(([\d.]+)–([\d.]+) MiB\)/.exec(story) ?? [];
  const told = { startByte: Number(from) * MiB, endByte: Number(to) * MiB };
  verdicts.check(`${how}: the page says so, of that chunk`, near(told), story);
  await shot(tour, picture);
  const there = await eventually(async () => {
    const where = await ask<Where>(page, WHERE);
    return !where.seeking && where.ready >= HAVE_CURRENT_DATA && Math.abs(where.seconds - seconds) < 8;
  }, 30_000);
  verdicts.check(`${how}: the picture is there`, there, await ask<Where>(page, WHERE));
  const before = (await ask<Where>(page, WHERE)).seconds;
  const goesOn = await eventually(async () => (await ask<Where>(page, WHERE)).seconds > before + 0.5, 30_000);
  verdicts.check(`${how}: and it plays on`, goesOn, `the jump took ${await textOf(page, '#play-jump')}`);
}

async function verifyCache(tour: Tour): Promise<void> {
  const { page, verdicts, studio, film, live } = tour;
  await ask<void>(page, "document.getElementById('video').pause()");
  await page.selectOption('#origin-pace', '0');
  const { id } = await newestUpload(tour);
  const digest = await sha256OfFile(film);
  const played = await sha256OfUrl(`${studio.url}/play/${id}`);
  verdicts.check('the whole file through the cache has the digest of the film', played === digest, played.slice(0, 16));
  const size = live.file?.sizeBytes ?? 0;
  const { bytesFetched = 0, bytesWasted = 0 } = live.panels?.cache ?? {};
  const once = await eventually(() => (live.panels?.cache.bytesFetched ?? 0) >= size, 5000);
  verdicts.check('every byte was fetched from the origin, none twice', once && bytesFetched - bytesWasted <= size, {
    size,
    fetched: live.panels?.cache.bytesFetched,
    wasted: live.panels?.cache.bytesWasted,
  });
  await waitForText(page, '#play-cached', /^(\S+ MiB) of \1$/, 10_000);
  verdicts.check('the page has the whole file in the cache', true, await textOf(page, '#play-cached'));
  await page.click('#clear-cache');
  await waitForText(page, '#play-cached', /^0 B of/);
  verdicts.check('an emptied cache is empty on the page', true);
}

async function dieWhilePlaying(tour: Tour): Promise<void> {
  const { page, verdicts, studio, link, console: log } = tour;
  await page.selectOption('#origin-pace', String(4 * MiB));
  await setPlaying(tour);
  log.serverAway = true;
  await studio.stop('SIGKILL');
  await link.cut();
  await waitForText(page, '#connection', /waiting for the server/);
  await page.waitForTimeout(1500);
  await studio.start();
  await link.open();
  tour.live.close();
  tour.live = new LiveLog(studio.url);
  await waitForText(page, '#connection', /^live$/, 30_000);
  log.serverAway = false;
  const { seconds } = await ask<Where>(page, WHERE);
  const goesOn = await eventually(async () => (await ask<Where>(page, WHERE)).seconds > seconds + 12, 60_000);
  verdicts.check('the film plays on after the server died under it', goesOn, await ask<Where>(page, WHERE));
}

async function setPlaying({ page }: Tour): Promise<void> {
  if (!(await eventually(async () => (await ask<Where>(page, WHERE)).ready >= HAVE_CURRENT_DATA, 30_000))) {
    throw new Error('No picture came.');
  }
  const { seconds } = await ask<Where>(page, WHERE);
  await page.focus('#video');
  await page.keyboard.press('Space');
  const plays = await eventually(async () => (await ask<Where>(page, WHERE)).seconds > seconds + 1, 30_000);
  if (!plays) throw new Error('The film does not play.');
}

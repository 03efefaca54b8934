/**
 * Drives the studio's page in a real Chromium, as a visitor would: `node test/browser/drive.ts [film] [shots-folder]`.
 * Without a film it has ffmpeg make one of 69 MB. Prints one line for each thing verified; exit code 1 if any failed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { launch } from './browser.ts';
import { ConsoleLog } from './console-log.ts';
import { tourExtras } from './extras-tour.ts';
import { makeFilm } from './film.ts';
import { LiveLog } from './live-log.ts';
import { tourPlay } from './play-tour.ts';
import { SentChunks } from './sent-chunks.ts';
import { SlowLink } from './slow-link.ts';
import { freePort, StudioProcess } from './studio-process.ts';
import type { Tour } from './tour.ts';
import { tourUpload } from './upload-tour.ts';
import { Verdicts } from './verdicts.ts';

const verdicts = new Verdicts();
const folder = await mkdtemp(join(tmpdir(), 'studio-browser-'));
const [givenFilm, givenShots] = process.argv.slice(2);
const film = givenFilm === undefined ? await makeFilm(folder) : resolve(givenFilm);
const shots = givenShots === undefined ? join(folder, 'shots') : resolve(givenShots);

const studio = new StudioProcess(await freePort(), join(folder, 'data'));
await studio.start();
const link = new SlowLink(Number(new URL(studio.url).port), Number.POSITIVE_INFINITY);
await link.open();
const browser = await launch();
const page = await browser.newPage();
const log = new ConsoleLog(page, verdicts);
const live = new LiveLog(studio.url);
const tour: Tour = { page, studio, link, verdicts, console: log, sent: new SentChunks(page), film, shots, live };

try {
  await tourUpload(tour);
  await tourPlay(tour);
  await tourExtras(tour);
} catch (error) {
  verdicts.check('the tour comes to its end', false, error instanceof Error ? error.message : String(error));
  await page.screenshot({ path: join(shots, 'stopped-here.png'), fullPage: true }).catch(() => {});
} finally {
  const { errors, networkErrorsWhileAway } = log;
  verdicts.check('no error and no warning in the console', errors.length === 0, errors.length === 0 ? '' : errors);
  console.log(`        Chromium noted ${networkErrorsWhileAway} refused requests while the server was dead.`);
  tour.live.close();
  await browser.close();
  await link.cut();
  await studio.stop('SIGTERM');
}
console.log(`Screenshots: ${shots}`);
if (givenShots !== undefined) await rm(folder, { recursive: true });
process.exitCode = verdicts.end() ? 0 : 1;

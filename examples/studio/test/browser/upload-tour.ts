import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { ask, textOf } from './browser.ts';
import { sha256OfFile } from './film.ts';
import { LiveLog } from './live-log.ts';
import { newestUpload, shot, type Tour, waitForText } from './tour.ts';
import { eventually, sameNumbers } from './verdicts.ts';

const MiB = 1024 * 1024;
const UPLOAD_PACE = 4 * MiB;
const BAR = "document.getElementById('upload-progress').value";

/** The first journey: a film goes up, over a reload and over the server's death. */
export async function tourUpload(tour: Tour): Promise<void> {
  await begin(tour);
  await reload(tour);
  await kill(tour);
  await finish(tour);
}

async function begin({ page, verdicts, ...tour }: Tour): Promise<void> {
  await page.goto(`http://127.0.0.1:${tour.link.port}/`);
  await waitForText(page, '#connection', /^live$/);
  verdicts.check('the page is live on an empty studio', (await textOf(page, '#map-title')) === 'The chunk map');
  await shot({ page, verdicts, ...tour }, '1-empty');
  tour.link.paceBytesPerSecond = UPLOAD_PACE;
  await page.setInputFiles('#picker', tour.film);
  await waitForText(page, '#upload-flight', /^chunk \d+, \d+, \d+, \d+$/);
  verdicts.check('four chunks are on their way at once', true, await textOf(page, '#upload-flight'));
  await eventually(() => tour.sent.acknowledged >= 1, 30_000);
}

async function reload(tour: Tour): Promise<void> {
  const { page, verdicts, sent } = tour;
  await page.reload();
  const name = basename(tour.film);
  await waitForText(page, '#unfinished', /Choose the same file to go on/);
  verdicts.check('after a reload the page asks for the same file', (await textOf(page, '#unfinished')).includes(name));
  await refuseAnotherFile(tour);
  await shot(tour, '2-after-a-reload');
  // The cut chunks' bytes may still lie in the link: what the server has must not change any more.
  await page.waitForTimeout(1500);
  const before = await newestUpload(tour);
  const stored = before.chunkCount - before.missing.length;
  verdicts.check('the reload was in mid-upload', stored > 0 && before.missing.length > 0, `${stored} stored`);
  sent.take();
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('#unfinished button.primary')]);
  await chooser.setFiles(tour.film);
  // Well on their way, and far from whole: the death that follows must be in the middle.
  const enough = stored * before.chunkSizeBytes + 6 * MiB;
  await eventually(async () => (await ask<number>(page, BAR)) >= enough, 30_000);
  await shot(tour, '3-uploading');
  const again = sent.take().filter((index) => !before.missing.includes(index));
  verdicts.check('the resumed upload sends only missing chunks', again.length === 0, again);
}

async function refuseAnotherFile({ page, verdicts, sent, film }: Tour): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'studio-other-'));
  const other = join(folder, basename(film));
  await writeFile(other, 'not the same');
  sent.take();
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('#unfinished button.primary')]);
  await chooser.setFiles(other);
  const words = await waitForText(page, '#upload-problem', /bytes/);
  const { size } = await stat(film);
  verdicts.check(
    'a file of another size is refused with both sizes',
    words.includes(String(size)) && words.includes('12'),
  );
  verdicts.check('nothing of it was sent', sent.take().length === 0);
  await rm(folder, { recursive: true });
}

async function kill(tour: Tour): Promise<void> {
  const { page, verdicts, studio, link, sent, console: log } = tour;
  log.serverAway = true;
  await studio.stop('SIGKILL');
  await link.cut();
  await waitForText(page, '#upload-status', /^Waiting for the server/);
  await waitForText(page, '#connection', /waiting for the server/);
  verdicts.check('after SIGKILL the page waits for the server', true, await textOf(page, '#upload-status'));
  await shot(tour, '4-waiting');
  // The link stays cut, so that the page cannot send before the server was asked what it kept.
  await studio.start();
  const { missing, chunkCount } = await newestUpload(tour);
  verdicts.check('the restarted server kept what it had acknowledged', chunkCount - missing.length >= 1, {
    stored: chunkCount - missing.length,
    missing: missing.length,
  });
  verdicts.check('the kill was in mid-upload', missing.length > 0);
  sent.take();
  tour.live.close();
  tour.live = new LiveLog(studio.url);
  await link.open();
  await waitForText(page, '#upload-status', /^(Sending|All chunks stored|✓)/, 30_000);
  await waitForText(page, '#connection', /^live$/, 30_000);
  log.serverAway = false;
  verdicts.check('the upload goes on by itself', true, await textOf(page, '#upload-status'));
  link.paceBytesPerSecond = 64 * MiB;
  await waitForText(page, '#upload-status', /^✓/, 60_000);
  const all = sent.take();
  verdicts.check('after the restart exactly the missing chunks were sent', sameNumbers(all, missing), all);
}

async function finish(tour: Tour): Promise<void> {
  const { page, verdicts, sent, film } = tour;
  verdicts.check('no chunk was acknowledged twice', sent.secondTimes === 0);
  await waitForText(page, '#assembly-digest', /…/);
  const title = await page.getAttribute('#assembly-digest', 'title');
  const digest = await sha256OfFile(film);
  verdicts.check(
    'the digest on the page is the digest of the film',
    title === `sha-256 ${digest}`,
    digest.slice(0, 16),
  );
  verdicts.check('the batch record has the file as complete', /✓ complete/.test(await textOf(page, '#batch-files')));
  const kept = await page.evaluate<string | null>('localStorage.getItem("chunks-studio:unfinished")');
  verdicts.check('nothing unfinished is remembered', kept === '[]', kept ?? 'null');
  await page.waitForTimeout(300);
  await shot(tour, '5-assembled');
}

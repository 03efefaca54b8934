import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ask, textOf } from './browser.ts';
import { shot, type Tour, waitForText } from './tour.ts';
import { eventually } from './verdicts.ts';

const DROP_LETTER = `(() => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File(['Dear reader, this is no film.'], 'letter.txt', { type: 'text/plain' }));
  for (const type of ['dragenter', 'dragover', 'drop']) {
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
  }
})()`;

/** What else a visitor does: the sample, a file that does not play, an empty one, the keyboard, deleting. */
export async function tourExtras(tour: Tour): Promise<void> {
  await sample(tour);
  await tune(tour);
  await otherFiles(tour);
  await keyboard(tour);
  await remove(tour);
}

async function sample({ page, verdicts }: Tour): Promise<void> {
  await page.click('#sample');
  await waitForText(page, '#map-title', /^sample\.webm$/);
  const shown = await eventually(
    async () => (await ask<number>(page, "document.getElementById('video').readyState")) >= 1,
    15_000,
  );
  verdicts.check('“Load sample” uploads, assembles and shows the sample', shown);
}

async function tune({ page, verdicts }: Tour): Promise<void> {
  await page.click('#tune');
  await waitForText(page, '#map-title', /^tune\.wav$/, 30_000);
  const ready = 'document.getElementById("video").readyState >= 1 && document.getElementById("video").duration';
  const long = await eventually(async () => Number(await ask<number | boolean>(page, ready)) > 300, 30_000);
  verdicts.check('“Make a tune” uploads 64 MiB made in the page, and its length is known', long);
}

async function otherFiles(tour: Tour): Promise<void> {
  const { page, verdicts } = tour;
  const folder = await mkdtemp(join(tmpdir(), 'studio-others-'));
  const empty = join(folder, 'nothing.webm');
  await writeFile(empty, '');
  await ask<void>(page, DROP_LETTER);
  await waitForText(page, '#map-title', /^letter\.txt$/);
  verdicts.check('a dropped file is uploaded, and the veil is gone', await page.isHidden('#drop-veil'));
  await page.setInputFiles('#picker', [empty]);
  await waitForText(page, '#map-title', /^nothing\.webm$/);
  await waitForText(page, '#play-empty', /empty file/);
  verdicts.check('an empty file is assembled, and said to be empty', true);
  await shot(tour, '9-empty-file');
  await page.click('#batch-files button:has-text("letter.txt")');
  const words = await waitForText(page, '#play-empty', /Download/);
  const href = await page.getAttribute('#download', 'href');
  verdicts.check('a file that does not play is offered as a download', href?.startsWith('/play/') === true, words);
  await rm(folder, { recursive: true });
}

async function keyboard({ page, verdicts }: Tour): Promise<void> {
  await page.reload();
  await page.click('#batch-files button:has-text(".mp4")');
  await waitForText(page, '#map-title', /\.mp4$/);
  let reached = false;
  for (let tab = 0; tab < 12 && !reached; tab += 1) {
    await page.keyboard.press('Shift+Tab');
    reached = await ask<boolean>(page, "document.activeElement?.id === 'map'");
  }
  verdicts.check('the map is reached by the Tab key', reached);
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowRight');
  const words = await eventually(
    async () => ((await page.getAttribute('#map', 'aria-valuetext')) ?? '').startsWith('Bytes'),
    2000,
  );
  const value = (await page.getAttribute('#map', 'aria-valuetext')) ?? '';
  verdicts.check(
    'arrow keys walk over the map, with words for screen readers',
    words && (await page.isVisible('#tip')),
    value,
  );
  const wide = await ask<number>(page, 'document.documentElement.scrollWidth - document.documentElement.clientWidth');
  await page.setViewportSize({ width: 390, height: 844 });
  const narrow = await ask<number>(page, 'document.documentElement.scrollWidth - document.documentElement.clientWidth');
  await page.setViewportSize({ width: 1280, height: 900 });
  verdicts.check('nothing sticks out sideways at 1280 and at 390 pixels', wide <= 0 && narrow <= 0, { wide, narrow });
}

async function remove({ page, verdicts }: Tour): Promise<void> {
  await page.click('#remove-file');
  const gone = await eventually(async () => !(await textOf(page, '#batch-files')).includes('.mp4'), 5000);
  verdicts.check('a deleted file leaves the record and the page', gone);
}

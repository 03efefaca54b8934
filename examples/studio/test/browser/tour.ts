import type { Page } from 'playwright-core';
import type { UploadStatus } from '../../src/protocol.ts';
import { shoot, textOf } from './browser.ts';
import type { ConsoleLog } from './console-log.ts';
import type { LiveLog } from './live-log.ts';
import type { SentChunks } from './sent-chunks.ts';
import type { SlowLink } from './slow-link.ts';
import type { StudioProcess } from './studio-process.ts';
import type { Verdicts } from './verdicts.ts';

/** Everything that the parts of the tour share. */
export interface Tour {
  readonly page: Page;
  readonly studio: StudioProcess;
  readonly link: SlowLink;
  readonly verdicts: Verdicts;
  readonly console: ConsoleLog;
  readonly sent: SentChunks;
  readonly film: string;
  readonly shots: string;
  live: LiveLog;
}

export function shot(tour: Tour, name: string): Promise<void> {
  return shoot(tour.page, tour.shots, name);
}

/** What the server says about the newest upload, asked past the page. */
export async function newestUpload(tour: Tour): Promise<UploadStatus> {
  const id = tour.live.file?.id ?? '';
  const response = await fetch(`${tour.studio.url}/uploads/${id}`);
  if (!response.ok) throw new Error(`The upload “${id}” answered ${response.status}.`);
  return (await response.json()) as UploadStatus;
}

export async function waitForText(page: Page, selector: string, pattern: RegExp, timeoutMs = 15_000): Promise<string> {
  const end = performance.now() + timeoutMs;
  let text = await textOf(page, selector);
  while (!pattern.test(text)) {
    if (performance.now() > end) throw new Error(`${selector} says “${text}”, not ${pattern}.`);
    await page.waitForTimeout(25);
    text = await textOf(page, selector);
  }
  return text;
}

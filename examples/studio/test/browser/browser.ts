import { access, mkdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** CHROMIUM_PATH, or the first Chromium on PATH. */
async function executable(): Promise<string> {
  const given = process.env['CHROMIUM_PATH'];
  if (given !== undefined) return given;
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    for (const name of NAMES) {
      const path = join(folder, name);
      if (
        await access(path).then(
          () => true,
          () => false,
        )
      ) {
        return path;
      }
    }
  }
  throw new Error('No Chromium on PATH: set CHROMIUM_PATH.');
}

export async function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: await executable(), args: ARGUMENTS });
}

const SIZES = [
  { width: 1280, height: 900 },
  { width: 390, height: 844 },
];

/** The page as it is, on a desk and on a phone, light and dark; ends on a light desk. */
export async function shoot(page: Page, folder: string, name: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const size of [...SIZES].reverse()) {
    for (const colorScheme of ['dark', 'light'] as const) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme });
      // Two frames and the slowest throttle of the page.
      await page.waitForTimeout(180);
      await page.screenshot({ path: join(folder, `${name}-${size.width}-${colorScheme}.png`), fullPage: true });
    }
  }
}

/** One number or text out of the page; a string, because this program knows no DOM types. */
export function ask<T>(page: Page, expression: string): Promise<T> {
  return page.evaluate<T>(expression);
}

export async function textOf(page: Page, selector: string): Promise<string> {
  return (await page.textContent(selector)) ?? '';
}

import type { Page } from 'playwright-core';
import type { Verdicts } from './verdicts.ts';

interface Entry {
  readonly text: string;
  readonly whileAway: boolean;
}

/**
 * What the browser's console says. Chromium itself writes a line for each request that finds no server; while the
 * server is known to be away these are expected and kept apart. Everything else counts, at any time.
 */
export class ConsoleLog {
  readonly #entries: Entry[] = [];
  /** Set while the server is down, and until the page has found it again. */
  serverAway = false;

  constructor(page: Page, verdicts: Verdicts) {
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      const network = /^Failed to load resource: net::ERR_/.test(message.text());
      const text = `${message.type()}: ${message.text()} ${message.location().url}, after “${verdicts.last}”`;
      this.#entries.push({ text, whileAway: network && this.serverAway });
    });
    page.on('pageerror', (error) => this.#entries.push({ text: `uncaught: ${error.message}`, whileAway: false }));
  }

  get errors(): string[] {
    return this.#entries.filter((entry) => !entry.whileAway).map((entry) => entry.text);
  }

  get networkErrorsWhileAway(): number {
    return this.#entries.filter((entry) => entry.whileAway).length;
  }
}

import type { Page, Request } from 'playwright-core';
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
  readonly #open = new Set<Request>();
  // A player with enough in its buffer finds out only seconds later that its stream was cut.
  #cut: string[] = [];
  #serverAway = false;

  constructor(page: Page, verdicts: Verdicts) {
    page.on('request', (request) => this.#open.add(request));
    page.on('requestfinished', (request) => this.#open.delete(request));
    page.on('requestfailed', (request) => this.#open.delete(request));
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      const { url } = message.location();
      const network = /^Failed to load resource: net::ERR_/.test(message.text());
      const text = `${message.type()}: ${message.text()} ${url}, after “${verdicts.last}”`;
      this.#entries.push({ text, whileAway: network && (this.#serverAway || this.#wasCut(url)) });
    });
    page.on('pageerror', (error) => this.#entries.push({ text: `uncaught: ${error.message}`, whileAway: false }));
  }

  /** Set before the server goes down, and until the page has found it again. */
  set serverAway(away: boolean) {
    this.#serverAway = away;
    if (away) this.#cut = [...this.#open].map((request) => request.url());
  }

  get errors(): string[] {
    return this.#entries.filter((entry) => !entry.whileAway).map((entry) => entry.text);
  }

  get networkErrorsWhileAway(): number {
    return this.#entries.filter((entry) => entry.whileAway).length;
  }

  /** Each request that was open when the server went down may say so once. */
  #wasCut(url: string): boolean {
    const place = this.#cut.indexOf(url);
    if (place >= 0) this.#cut.splice(place, 1);
    return place >= 0;
  }
}

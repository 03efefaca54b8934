import type { Page } from 'playwright-core';

/** Which chunks the page sent, and which of them were acknowledged, since the last look. */
export class SentChunks {
  #sent: number[] = [];
  readonly #acknowledged = new Map<string, number>();
  #secondTimes = 0;

  constructor(page: Page) {
    page.on('request', (request) => {
      const index = indexOf(request.method(), request.url());
      if (index !== undefined) this.#sent.push(index);
    });
    page.on('response', (response) => {
      const { url, method } = { url: response.url(), method: response.request().method() };
      if (indexOf(method, url) === undefined || response.status() !== 204) return;
      const times = (this.#acknowledged.get(url) ?? 0) + 1;
      this.#acknowledged.set(url, times);
      if (times > 1) this.#secondTimes += 1;
    });
  }

  take(): number[] {
    const sent = this.#sent;
    this.#sent = [];
    return sent;
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** Chunks that were acknowledged more than once. */
  get secondTimes(): number {
    return this.#secondTimes;
  }
}

function indexOf(method: string, url: string): number | undefined {
  const found = /\/uploads\/[^/]+\/chunks\/(\d+)$/.exec(url);
  return method === 'PUT' && found !== null ? Number(found[1]) : undefined;
}

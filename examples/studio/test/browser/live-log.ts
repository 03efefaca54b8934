import type { FileView, LiveDelta, LiveSnapshot, Panels, Run } from '../../src/protocol.ts';

/** A second listener to `/live`: remembers what a file's cache went through, to compare with what the page did. */
export class LiveLog {
  readonly #end = new AbortController();
  readonly #critical: Run[] = [];
  panels: Panels | undefined;
  file: FileView | undefined;

  constructor(url: string) {
    void this.#follow(url).catch(() => {});
  }

  /** Runs that have been CRITICAL since the last call. */
  takeCritical(): Run[] {
    return this.#critical.splice(0);
  }

  close(): void {
    this.#end.abort();
  }

  async #follow(url: string): Promise<void> {
    const response = await fetch(`${url}/live`, { signal: this.#end.signal });
    if (response.body === null) throw new Error('/live has no body.');
    let text = '';
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      const events = text.split('\n\n');
      text = events.pop() ?? '';
      for (const event of events) this.#take(event);
    }
  }

  #take(event: string): void {
    const data = event
      .split('\n')
      .filter((line) => line.startsWith('data:'))
      .map((line) => line.slice(5))
      .join('\n');
    if (data === '') return;
    const message = JSON.parse(data) as LiveSnapshot | LiveDelta;
    this.panels = message.panels ?? this.panels;
    for (const file of message.files ?? []) {
      this.file = file;
      this.#critical.push(...file.cacheRuns.filter((run) => run.priority === 'CRITICAL'));
    }
  }
}

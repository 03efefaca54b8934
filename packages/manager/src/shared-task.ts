import { onAbort } from '@chunks/base';

/** One piece of work for everybody who asks while it runs; it is aborted when the last of them has left. */
export class SharedTask<T> {
  /** Settles, and never rejects, when the work is over. */
  readonly over: Promise<unknown>;
  readonly #controller = new AbortController();
  readonly #result: Promise<T>;
  #joined = 0;

  constructor(task: (signal: AbortSignal) => Promise<T>) {
    this.#result = task(this.#controller.signal);
    this.over = this.#result.catch(() => undefined);
  }

  /** Whether it was ended, so that its result will be an abort. */
  get isAborted(): boolean {
    return this.#controller.signal.aborted;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Rejects with the signal's own reason when that aborts first. */
  join(signal: AbortSignal | undefined): Promise<T> {
    this.#joined++;
    return new Promise<T>((resolve, reject) => {
      const unlisten = onAbort(signal, () => {
        reject(signal?.reason);
        // After the work is over this is nobody's business any more.
        if (--this.#joined === 0) this.abort(signal?.reason);
      });
      const settle =
        <V>(how: (value: V) => void) =>
        (value: V): void => {
          unlisten();
          how(value);
        };
      this.#result.then(settle(resolve), settle(reject));
    });
  }
}

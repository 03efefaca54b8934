/** Waits that end early on good news, and at once on an abort. */
export class Pauser {
  readonly #waiting = new Set<() => void>();

  /** Resolves after that time or when woken; rejects with the signal's own reason. */
  wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', aborted);
        this.#waiting.delete(wake);
      };
      const wake = (): void => {
        end();
        resolve();
      };
      const aborted = (): void => {
        end();
        reject(signal.reason);
      };
      const timer = setTimeout(wake, ms);
      signal.addEventListener('abort', aborted);
      this.#waiting.add(wake);
    });
  }

  /** Ends every wait: the server showed a sign of life. */
  wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

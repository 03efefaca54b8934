/** One line for each thing that was verified. */
export class Verdicts {
  /** What was verified last. */
  last = 'nothing';
  #passed = 0;
  #failed = 0;

  check(what: string, right: boolean, seen: unknown = ''): void {
    this.last = what;
    if (right) this.#passed += 1;
    else this.#failed += 1;
    const detail = seen === '' ? '' : `  (${typeof seen === 'string' ? seen : JSON.stringify(seen)})`;
    console.log(`${right ? 'ok    ' : 'FAILED'}  ${what}${detail}`);
  }

  /** Prints the sum; true when nothing failed. */
  end(): boolean {
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
    return this.#failed === 0;
  }
}

export function sameNumbers(one: Iterable<number>, other: Iterable<number>): boolean {
  const sorted = (numbers: Iterable<number>): string => [...numbers].sort((a, b) => a - b).join();
  return sorted(one) === sorted(other);
}

/** Polls until the condition holds; false when it did not in that time. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  withinMs: number,
  everyMs = 25,
): Promise<boolean> {
  for (const endMs = performance.now() + withinMs; performance.now() < endMs; ) {
    if (await condition()) return true;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  return await condition();
}

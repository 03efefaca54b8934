/** One line a verification, and the sum at the end. */
export class Report {
  passed = 0;
  failed = 0;
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** A heading, or news that is no verification. */
  note(line: string): void {
    this.#say(line);
  }

  check(holds: boolean, what: string, otherwise = ''): void {
    if (holds) this.passed++;
    else this.failed++;
    this.#say(`  ${holds ? 'ok  ' : 'FAIL'} ${what}${holds || otherwise === '' ? '' : `: ${otherwise}`}`);
  }

  /** @returns the exit code */
  finish(): number {
    this.#say(`${this.passed} passed, ${this.failed} failed`);
    return this.failed === 0 && this.passed > 0 ? 0 : 1;
  }
}

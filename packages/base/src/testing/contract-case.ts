/** One rule, as a test of its own: `run` rejects, with what was expected and what came, when the rule does not hold. */
export interface ContractCase {
  readonly name: string;
  run(): Promise<void>;
}

/** The rule did not hold. */
class ContractError extends Error {}

// A function has no JSON, and must not pass for undefined.
const show = (value: unknown): string => (typeof value === 'function' ? 'a function' : JSON.stringify(value));

/** By their JSON, so that plain objects compare. @throws ContractError */
export function equal(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [show(actual), show(expected)];
  if (a !== b) throw new ContractError(`${what}: expected ${b}, got ${a}`);
}

/** @throws ContractError */
export function isTrue(holds: boolean, what: string): asserts holds {
  if (!holds) throw new ContractError(what);
}

/**
 * Hears a rejection that nobody may come to hear: a case that fails leaves calls behind, and what becomes of them must
 * not drown the failure.
 */
export function heard<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** What the promise rejects with. @throws ContractError when it resolves. */
export function rejection(promise: PromiseLike<unknown>, what: string): Promise<unknown> {
  const refuse = (value: unknown): never => {
    throw new ContractError(`${what}: expected a rejection, got ${show(value)}`);
  };
  return heard(Promise.resolve(promise.then(refuse, (error: unknown) => error)));
}

/** Each body with a trial of its own, which ends however the body does. */
export function casesOf<T extends { end(didHold: boolean): Promise<void> }>(
  bodies: Readonly<Record<string, (trial: T) => Promise<void>>>,
  begin: () => Promise<T>,
): readonly ContractCase[] {
  return Object.entries(bodies).map(([name, body]) => ({
    name,
    async run() {
      const trial = await begin();
      let didHold = false;
      try {
        await body(trial);
        didHold = true;
      } finally {
        await trial.end(didHold);
      }
    },
  }));
}

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

/** What the promise rejects with. @throws ContractError when it resolves. */
export async function rejection(promise: PromiseLike<unknown>, what: string): Promise<unknown> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new ContractError(`${what}: expected a rejection, got ${JSON.stringify(value)}`);
}

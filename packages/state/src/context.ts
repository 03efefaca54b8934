import { lazily } from './lazy-property.ts';
import type { Member } from './member.ts';
import type { UpdateContext } from './types.ts';

/** What an updater said through its context. */
export class Heard {
  skipped = false;
  replaced = false;
  next: unknown;
}

/** The context of one call of one updater. */
export function contextOf(member: Member, version: number, heard: Heard): UpdateContext<object> {
  const context = {
    attempt: member.attempts,
    version,
    replace(next: object) {
      heard.replaced = true;
      heard.next = next;
    },
    skip<R>(result: R) {
      heard.skipped = true;
      return result;
    },
  };
  // Few updaters wait.
  return lazily(context, 'signal', () => member.signal);
}

// Compared by what it would be stored as; a result that cannot be stored is no state.
const textOf = (value: object): string | undefined => {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
};

/**
 * Whether a result could be a new state: of the draft's kind, with all its fields, and not equal to it. An empty object
 * has no fields to go by: there a result is just a result.
 */
export function looksLikeState(result: unknown, draft: object): boolean {
  if (typeof result !== 'object' || result === null || result === draft) return false;
  try {
    const names = Object.keys(draft);
    const isList = Array.isArray(draft);
    return (
      (isList || names.length > 0) &&
      Array.isArray(result) === isList &&
      names.every((name) => Object.hasOwn(result, name)) &&
      textOf(result) !== textOf(draft)
    );
  } catch {
    // A proxy that lets nobody look: nor could it be stored.
    return false;
  }
}

/** For an updater that returned a new state and left the draft as it was: its change would be lost without a word. */
export const returnedState = (): TypeError =>
  new TypeError(
    'the updater returned a new state and left the draft as it was: mutate the draft, or hand the new state to context.replace(next); a result that is no state goes through context.skip(result)',
  );

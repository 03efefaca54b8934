/**
 * What every error class of the four packages is: a literal `code` to branch on, `retryable`, data fields, `cause`.
 * A fresh object per failure, so that no two callers ever share a stack or a field.
 */
export abstract class CodedError extends Error {
  /** Stable; branch on this, never on the message. */
  abstract readonly code: string;
  /** Whether the same call may succeed later with nothing changed by the caller. */
  abstract readonly retryable: boolean;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    // The subclass's own name, for stacks and logs. Not enumerable, as in the errors of the language: only data is.
    Object.defineProperty(this, 'name', { value: new.target.name, configurable: true, writable: true });
  }
}

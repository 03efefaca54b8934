/** One event worth a line: a sweep, a size mismatch, a reclaimed lock, an exhausted retry, a failure. */
export type Log = (event: string, fields?: Readonly<Record<string, unknown>>) => void;

/** Writes one JSON line an event. */
export function jsonLog(write: (line: string) => void): Log {
  return (event, fields = {}) => write(`${JSON.stringify({ at: new Date().toISOString(), event, ...fields })}\n`);
}

/** What of an error is worth a field. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : ` (${describeError(error.cause)})`;
  return `${error.name}: ${error.message}${cause}`;
}

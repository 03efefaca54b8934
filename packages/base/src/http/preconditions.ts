import { isEntityTag, matchesStrongly, matchesWeakly, parseEntityTags } from './entity-tag.ts';
import { parseHttpDate, wholeSecondsMs } from './http-date.ts';

/** What tells one version of a representation from another. */
export interface Validators {
  readonly etag: string | undefined;
  readonly lastModifiedMs: number | undefined;
}

export type Verdict = 'proceed' | 'not-modified' | 'precondition-failed';

/**
 * The conditions of a GET or HEAD on a representation that exists, in the order of RFC 9110, 13.2.2: a tag always
 * outranks the date that stands for it. A date that cannot be read, or has nothing to be compared with, is ignored; a
 * tag list that cannot be read matches nothing.
 */
export function evaluatePreconditions(headers: Headers, current: Validators, nowMs: number): Verdict {
  const lastModifiedMs = current.lastModifiedMs === undefined ? undefined : wholeSecondsMs(current.lastModifiedMs);
  const modifiedAfter = (field: string): boolean | undefined => {
    const sinceMs = parseHttpDate(headers.get(field) ?? '', nowMs);
    return sinceMs === undefined || lastModifiedMs === undefined ? undefined : lastModifiedMs > sinceMs;
  };

  const ifMatch = headers.get('if-match');
  if (ifMatch !== null) {
    if (!anyMatches(ifMatch, current.etag, matchesStrongly)) return 'precondition-failed';
  } else if (modifiedAfter('if-unmodified-since') === true) {
    return 'precondition-failed';
  }

  const ifNoneMatch = headers.get('if-none-match');
  if (ifNoneMatch !== null) return anyMatches(ifNoneMatch, current.etag, matchesWeakly) ? 'not-modified' : 'proceed';
  return modifiedAfter('if-modified-since') === false ? 'not-modified' : 'proceed';
}

function anyMatches(
  field: string,
  etag: string | undefined,
  matches: (wanted: string, etag: string) => boolean,
): boolean {
  if (field === '*') return true;
  return etag !== undefined && parseEntityTags(field).some((wanted) => matches(wanted, etag));
}

/** Whether `Range` may be looked at: no `If-Range`, or one that names exactly the current version. */
export function ifRangeHolds(headers: Headers, current: Validators, nowMs: number): boolean {
  const field = headers.get('if-range');
  if (field === null) return true;
  if (isEntityTag(field)) return current.etag !== undefined && matchesStrongly(field, current.etag);
  // The same second, neither before nor after. Only the owner knows whether it changed twice within that second; one
  // to whom that happens gives a strong etag.
  const atMs = parseHttpDate(field, nowMs);
  return atMs !== undefined && current.lastModifiedMs !== undefined && atMs === wholeSecondsMs(current.lastModifiedMs);
}

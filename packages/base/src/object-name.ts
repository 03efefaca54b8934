import { refuseRange, refuseType } from './check.ts';

/**
 * A key as it can stand in an object's name: it has nothing in it that a URL, a proxy or a signature could read in
 * another way, no slash above all. A key begins with another one just when their escaped forms do. By code unit, so that
 * lone surrogates stay apart too; at most three bytes for each byte of the key's UTF-8.
 */
export const escapedName = (key: string): string =>
  // `~` stands for itself in URLs: no client encodes it again.
  key.replace(/[^A-Za-z0-9._-]/g, (unit) => {
    const code = unit.charCodeAt(0).toString(16);
    return code.length > 2 ? `~u${code.padStart(4, '0')}` : `~${code.padStart(2, '0')}`;
  });

/** What stands before the names of a user's objects. @throws TypeError | RangeError */
export function checkNamePrefix(prefix: unknown): string {
  if (typeof prefix !== 'string') refuseType('prefix', 'a string', prefix);
  const isPlain = /^[\w./-]{0,200}$/.test(prefix) && !/(^|\/)(\/|\.)/.test(prefix);
  if (!isPlain) refuseRange('prefix', 'of letters, digits and _-./, without empty or dotted segments', prefix);
  return prefix;
}

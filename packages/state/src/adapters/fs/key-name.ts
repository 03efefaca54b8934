import { createHash } from 'node:crypto';

// Far below the 255 bytes of most file systems, some of which keep a few for themselves.
const MAX_LENGTH = 200;
const HASHED = '~';

const escaped = (unit: string): string => {
  const hex = unit.charCodeAt(0).toString(16);
  return hex.length > 2 ? `%u${hex.padStart(4, '0')}` : `%${hex.padStart(2, '0')}`;
};

/**
 * The file name that stands for a key: of lower-case ASCII only, because some file systems take `a` for `A` and one
 * form of `á` for the other. Digits and lower-case letters stand for themselves, so that folders can be read; a name
 * that would grow too long is a digest instead, and the key has to be kept elsewhere.
 */
export function nameOf(key: string): string {
  // No name is empty, and no escape is as short as this.
  const name = key === '' ? '%' : key.replace(/[^a-z0-9_-]/g, escaped);
  // As UTF-16, which tells lone surrogates apart.
  return name.length <= MAX_LENGTH ? name : `${HASHED}${createHash('sha256').update(key, 'utf16le').digest('hex')}`;
}

/** Whether the name alone does not tell the key. */
export const isHashed = (name: string): boolean => name.startsWith(HASHED);

/** The key of such a name; undefined when {@link nameOf} has not made it, or it is hashed. */
export function keyOf(name: string): string | undefined {
  const unit = (_: string, long: string | undefined, short: string | undefined): string =>
    String.fromCharCode(Number.parseInt((long ?? short) as string, 16));
  const key = name === '%' ? '' : name.replace(/%(?:u([0-9a-f]{4})|([0-9a-f]{2}))/g, unit);
  return nameOf(key) === name ? key : undefined;
}

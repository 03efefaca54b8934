import { escapedName } from '@chunks/base';

/** The record that names the life of a bucket. No key's subject is it. */
export const LIFE = 'state';

/** A subject of so many bytes fits, with the words around it, into the 4,096 of a line that servers read. */
const MAX_SUBJECT = 3_000;
/** Of a key, in UTF-8: escaped it is at most three times as long. */
export const MAX_KEY_BYTES: number = MAX_SUBJECT / 3;

/**
 * What the key's record is called in the bucket: `state.<life>./uploads./7` for `uploads/7`. Each part between slashes is a
 * token of its own, so that the server itself finds what begins with `uploads/`; none of them is ever empty.
 */
export const subjectOf = (life: string, key: string): string =>
  `${LIFE}.${life}./${escapedName(key).replaceAll('.', '~2e').replaceAll('~2f', './').replaceAll('~', '=')}`;

/** Fits the subjects of all keys with the prefix, and, as tokens are matched whole, of some others. */
export function filterOf(life: string, prefix: string): string {
  const subject = subjectOf(life, prefix);
  return `${subject.slice(0, subject.lastIndexOf('./'))}.>`;
}

/** The key of one of the subjects above. */
export const keyOf = (subject: string): string =>
  subject
    .slice(subject.indexOf('./') + 2)
    .replaceAll('./', '/')
    .replace(/=u(....)|=(..)/g, (_, unit, byte) => String.fromCharCode(Number.parseInt(unit ?? byte, 16)));

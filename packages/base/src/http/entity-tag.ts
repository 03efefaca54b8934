const TAG = '(?:W/)?"[\\x21\\x23-\\x7e\\x80-\\xff]*"';
const ONE = new RegExp(`^${TAG}$`);
// Empty elements of a list are allowed, commas inside the quotes too: it cannot be split at commas.
const LIST = new RegExp(`^[ \\t,]*${TAG}(?:[ \\t]*,[ \\t,]*${TAG})*[ \\t,]*$`);
const EACH = new RegExp(TAG, 'g');

/** Whether the text is one entity tag: quoted, `W/` in front when weak. */
export const isEntityTag = (text: string): boolean => ONE.test(text);

/** The tags of an `If-Match` or `If-None-Match` field, `*` aside; none when it is malformed. */
export const parseEntityTags = (field: string): string[] => (LIST.test(field) ? (field.match(EACH) ?? []) : []);

/** Equal byte for byte: both the same, and neither weak. */
export const matchesStrongly = (a: string, b: string): boolean => a === b && !a.startsWith('W/');

/** Good for each other: the same but for weakness. */
export const matchesWeakly = (a: string, b: string): boolean => a.replace(/^W\//, '') === b.replace(/^W\//, '');

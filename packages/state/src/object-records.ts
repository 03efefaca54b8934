import { checkNamePrefix, escapedName } from '@chunks/base';

// S3 and R2 take names of up to 1,024 bytes.
const LONGEST = 1_024;
// It also keeps `.` and `..` apart from the segments that URLs drop.
const SUFFIX = '.json';

/** Which object keeps which key. */
export class ObjectNames {
  /** So many bytes of UTF-8 always fit: none takes more than three when it is escaped. */
  readonly maxKeyBytes: number;
  /** The object that no key has, for trials. */
  readonly probe: string;
  readonly #prefix: string;

  /** @throws TypeError | RangeError when the prefix is not plain */
  constructor(prefix: string = 'state/') {
    this.#prefix = checkNamePrefix(prefix);
    this.maxKeyBytes = Math.floor((LONGEST - prefix.length - SUFFIX.length) / 3);
    this.probe = `${prefix}~probe`;
  }

  of(key: string): string {
    return this.start(key) + SUFFIX;
  }

  /** With this begin the names of all keys that begin so, and no others. */
  start(keys: string): string {
    return this.#prefix + escapedName(keys);
  }

  /** undefined: something else that lies there */
  keyOf(name: string): string | undefined {
    const key = name
      .slice(this.#prefix.length, -SUFFIX.length)
      .replace(/~(?:u(.{4})|(..))/g, (_, long, short) => String.fromCharCode(Number.parseInt(long ?? short, 16)));
    return this.of(key) === name ? key : undefined;
  }
}

// White space after a JSON document is still that document, whoever reads it.
const STAMP = /\n[ \t]{96}$/;

/**
 * A value as it is stored: with 96 random bits in white space behind it. Stores make etags out of the content, and one
 * that comes back would let a late write in; so no content ever does.
 */
export function stamped(value: string): string {
  const random = crypto.getRandomValues(new Uint8Array(96));
  return `${value}\n${Array.from(random, (byte) => (byte & 1 ? '\t' : ' ')).join('')}`;
}

/** The value to the letter. What another tool wrote there without a stamp is a value too. */
export const unstamped = (content: string): string => content.replace(STAMP, '');

/** What a single upload takes, 5 MiB less than 5 GiB where it takes least, less the stamp. */
export const MAX_OBJECT_VALUE_BYTES: number = 5 * 2 ** 30 - 5 * 2 ** 20 - 97;

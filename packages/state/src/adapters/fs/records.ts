import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { WriteResult } from '../../store.ts';
import type { Files } from './files.ts';
import { isHashed, keyOf, nameOf } from './key-name.ts';

// What a revision is: how many writes ago the key was created, and something that never comes again.
const REVISION = /^([1-9]\d{0,15})-[0-9a-f]{24}$/;
const numberOf = (revision: string): number => Number(REVISION.exec(revision)?.[1]);
// Beside the value, where the folder's name does not tell the key.
const KEY_FILE = 'key';
// Sweeping a draft that somebody still works on does no harm, only his work is lost: no reason to be quick.
const SWEPT_AFTER_MS = 3_600_000;
// What stands in the place of an empty folder.
const OCCUPIED = ['ENOTEMPTY', 'EEXIST'];
// Of a rename: surely refused. Others, such as EIO, may come from half-way.
const REFUSED = [
  'ENOENT',
  'ENOSPC',
  'EDQUOT',
  'EACCES',
  'EPERM',
  'EROFS',
  'EXDEV',
  'EMLINK',
  'ENOTDIR',
  'ENAMETOOLONG',
];

const random = (): string => randomBytes(12).toString('hex');
const codeOf = (error: unknown): string => String((error as { code?: unknown } | undefined)?.code);
const definite = (error: unknown): unknown =>
  error instanceof Error ? Object.assign(error, { definite: true }) : error;

/** undefined where the file or folder is not there. */
const ifThere = <T>(call: Promise<T>): Promise<T | undefined> =>
  call.catch((error) => {
    if (codeOf(error) !== 'ENOENT') throw error;
    return undefined;
  });

/** For what may go wrong without harm. */
const tried = (call: Promise<unknown>): Promise<unknown> => call.catch(() => undefined);

/**
 * A compare-and-set out of renames. A key's folder holds exactly one folder, named by the current revision, and that
 * holds the value:
 *
 *     keys/<key>/<revision>/<revision>
 *
 * - A write puts its value beside the current one, under the name of its new revision, and renames the folder from the
 *   revision it expects to its own. A name is moved away once: of many who try, and of those who come too late, one
 *   has it and the others find nothing. No revision comes twice, so none ever fits again.
 * - A create prepares a whole folder under `drafts/` and moves it to `keys/<key>`, which works only where nothing is.
 * - A removal moves the revision's folder away to `drafts/`, from where nothing comes back.
 * - A reader takes the revision that it sees in the folder: it was current when it was seen, and its value is never
 *   written again. That a listing shows nothing proves nothing, for a name may be moved past it; that the empty folder
 *   can be removed does.
 *
 * Whoever dies leaves a value beside the current one, which the next write takes away, or a draft, which is swept.
 */
export class Records {
  /** One folder for each key. */
  readonly keys: string;
  readonly #drafts: string;
  readonly #files: Files;
  readonly #now: () => number;
  #ready: Promise<void> | undefined;

  constructor(o: { directory: string; files: Files; now: () => number }) {
    this.keys = join(o.directory, 'keys');
    this.#drafts = join(o.directory, 'drafts');
    this.#files = o.files;
    this.#now = o.now;
  }

  /** Makes the directory, once. @throws the system's own error, and the next call tries again */
  open(): Promise<void> {
    this.#ready ??= this.#prepare().catch((error) => {
      this.#ready = undefined;
      throw definite(error);
    });
    return this.#ready;
  }

  async read(key: string, signal: AbortSignal): Promise<{ value: string; revision: string } | undefined> {
    return this.#look(join(this.keys, nameOf(key)), (revision) => revision, signal);
  }

  async write(key: string, value: string, expected: string | undefined, signal: AbortSignal): Promise<WriteResult> {
    await this.open();
    if (expected === undefined) return this.#create(key, value, signal);
    return REVISION.test(expected) ? this.#replace(key, value, expected, signal) : { conflict: true };
  }

  async remove(key: string, expected: string): Promise<boolean> {
    if (!REVISION.test(expected)) return false;
    await this.open();
    const folder = join(this.keys, nameOf(key));
    const away = join(this.#drafts, random());
    const isOurs = await ifThere(this.#files.move(join(folder, expected), away).then(() => true));
    if (isOurs === undefined) return false;
    await ifThere(this.#files.sync(folder));
    // Somebody else may have done so, or created the key again.
    await tried(this.#files.removeFolder(folder));
    await this.#files.sync(this.keys);
    await tried(this.#files.erase(away));
    return true;
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<string> {
    signal.throwIfAborted();
    for (const name of (await ifThere(this.#files.list(this.keys))) ?? []) {
      signal.throwIfAborted();
      const key = isHashed(name) ? await this.#hashedKey(name, signal) : keyOf(name);
      if (key?.startsWith(prefix) && (await this.#current(join(this.keys, name), signal)) !== undefined) yield key;
    }
  }

  async #hashedKey(name: string, signal: AbortSignal): Promise<string | undefined> {
    const found = await this.#look(join(this.keys, name), () => KEY_FILE, signal);
    return found && (JSON.parse(found.value) as string);
  }

  /** What a file beside the value says, the value itself included. */
  async #look(folder: string, fileOf: (revision: string) => string, signal: AbortSignal) {
    for (let before: string | undefined; ; ) {
      const revision = await this.#current(folder, signal);
      if (revision === undefined) return undefined;
      const value = await ifThere(this.#files.read(join(folder, revision, fileOf(revision))));
      if (value !== undefined) return { value, revision };
      // Another write came between. Unless it did not: no revision comes back.
      if (revision === before) throw new Error(`${join(folder, revision)} has lost its content`);
      before = revision;
    }
  }

  async #current(folder: string, signal: AbortSignal): Promise<string | undefined> {
    for (let before = ''; ; ) {
      signal.throwIfAborted();
      const names = await ifThere(this.#files.list(folder));
      if (names === undefined) return undefined;
      const revisions = names.filter((name) => REVISION.test(name));
      if (revisions.length === 1) return revisions[0];
      if (names.length === 0 && (await this.#isEmpty(folder))) return undefined;
      // A rename may show both names or none to a listing that it passes. But never the same two times over.
      const now = names.sort().join(', ');
      if (now !== '' && now === before) throw new Error(`${folder} must hold one revision, but holds ${now}`);
      before = now;
    }
  }

  async #isEmpty(folder: string): Promise<boolean> {
    try {
      await this.#files.removeFolder(folder);
    } catch (error) {
      if (OCCUPIED.includes(codeOf(error))) return false;
      // Who may only read has to believe the listing.
      if (!['ENOENT', 'EACCES', 'EPERM', 'EROFS'].includes(codeOf(error))) throw error;
    }
    return true;
  }

  async #create(key: string, value: string, signal: AbortSignal): Promise<WriteResult> {
    const files = this.#files;
    const name = nameOf(key);
    const revision = `1-${random()}`;
    const draft = join(this.#drafts, random());
    const inner = join(draft, revision);
    const prepare = async (): Promise<void> => {
      await files.make(inner);
      await files.write(join(inner, revision), value);
      if (isHashed(name)) await files.write(join(inner, KEY_FILE), JSON.stringify(key));
      await files.sync(inner);
      await files.sync(draft);
    };
    try {
      await this.#commit(prepare, draft, join(this.keys, name), signal);
    } catch (error) {
      await tried(files.erase(draft));
      if (OCCUPIED.includes(codeOf(error))) return { conflict: true };
      // Swept, or the whole directory was taken away: then it is made anew.
      if (codeOf(error) === 'ENOENT') this.#ready = undefined;
      throw error;
    }
    await files.sync(this.keys);
    return { revision };
  }

  async #replace(key: string, value: string, expected: string, signal: AbortSignal): Promise<WriteResult> {
    const files = this.#files;
    const folder = join(this.keys, nameOf(key));
    const revision = `${numberOf(expected) + 1}-${random()}`;
    const [from, to] = [join(folder, expected), join(folder, revision)];
    const prepare = async (): Promise<void> => {
      await files.write(join(from, revision), value);
      await files.sync(from);
    };
    try {
      await this.#commit(prepare, from, to, signal);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return { conflict: true };
      await tried(files.removeFile(join(from, revision)));
      throw error;
    }
    // Gone only if this was removed since.
    await ifThere(files.sync(folder));
    await tried(this.#tidy(to, revision));
    return { revision };
  }

  /** @throws an error marked as definite where surely nothing was moved */
  async #commit(prepare: () => Promise<void>, from: string, to: string, signal: AbortSignal): Promise<void> {
    let isSent = false;
    try {
      await prepare();
      // The caller has given up on it: better never than late.
      signal.throwIfAborted();
      isSent = true;
      await this.#files.move(from, to);
    } catch (error) {
      throw isSent && !REFUSED.includes(codeOf(error)) ? error : definite(error);
    }
  }

  /**
   * Takes away the value before, and those that lost against this one. The ones that are to follow it bear higher
   * numbers. When the folder has moved on meanwhile, nothing is found under its old name.
   */
  async #tidy(folder: string, revision: string): Promise<void> {
    for (const name of await this.#files.list(folder)) {
      if (name !== revision && numberOf(name) <= numberOf(revision)) await this.#files.removeFile(join(folder, name));
    }
  }

  async #prepare(): Promise<void> {
    const files = this.#files;
    for (const folder of [this.keys, this.#drafts]) {
      const first = await files.make(folder);
      for (let at = folder; first !== undefined && at.length >= first.length; ) {
        at = dirname(at);
        await files.sync(at);
      }
    }
    await tried(this.#sweep());
  }

  async #sweep(): Promise<void> {
    for (const name of await this.#files.list(this.#drafts)) {
      const [draft, away] = [join(this.#drafts, name), join(this.#drafts, random())];
      if (this.#now() - (await this.#files.changedMs(draft)) < SWEPT_AFTER_MS) continue;
      // Away first, in one step: who still works on it must not move half of it into place.
      await this.#files.move(draft, away);
      await this.#files.erase(away);
    }
  }
}

import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { systemClock } from '@chunks/base';
import { AssemblyBusyError, WriteFailedError } from './errors.ts';
import { codeOf, type FilePort, flags, remove } from './file-port.ts';
import { isOver, newMark } from './owner.ts';

// Debris is cleared and claimed in two steps between which somebody else may come: they are then the busy one.
const MAX_ATTEMPTS = 5;

// Runs of this thread know of each other at once; the claim takes two steps until others can see who holds it.
const working = new Set<string>();

/**
 * Where one run works: beside its destination, because only inside one file system can a file be put in place in one
 * step. Two names: the claim, the same for every run to this destination, which tells a newcomer that someone may be
 * at work; and the temporary file, unique to the run and marked with its owner, which tells whether someone really is.
 * Only the temporary's uniqueness keeps the data right. The claim keeps a second run from doing the work twice.
 */
export class Workplace {
  readonly destination: string;
  readonly directory: string;
  readonly #files: FilePort;
  readonly #prefix: string;

  constructor(destination: string, files: FilePort) {
    this.destination = destination;
    this.directory = dirname(destination);
    this.#files = files;
    // A hash, because a name plus a suffix may be longer than a name may be.
    const key = createHash('sha256').update(basename(destination)).digest('hex').slice(0, 16);
    this.#prefix = `.assemble-${key}`;
  }

  get #claimPath(): string {
    return join(this.directory, `${this.#prefix}.claim`);
  }

  /**
   * Takes away what a run that died has left here.
   * @throws AssemblyBusyError when a run is alive.
   */
  async clear(): Promise<void> {
    try {
      await this.#files.lstat(this.#claimPath);
    } catch (error) {
      // Nobody is here, which is by far the most frequent case and costs this one call.
      if (codeOf(error) === 'ENOENT') return;
      throw new WriteFailedError({ path: this.destination, cause: error });
    }
    try {
      await this.#clearDebris();
    } catch (error) {
      if (error instanceof AssemblyBusyError) throw error;
      throw new WriteFailedError({ path: this.destination, cause: error });
    }
  }

  async #clearDebris(): Promise<void> {
    const files = this.#files;
    const now = systemClock.now();
    const ours = (await files.readdir(this.directory)).filter((name) => name.startsWith(`${this.#prefix}.`));
    for (const name of ours) {
      const path = join(this.directory, name);
      if (path === this.#claimPath) continue;
      const fact = await files.lstat(path).catch(() => undefined);
      if (fact === undefined) continue;
      const tag = name.slice(this.#prefix.length + 1, -'.tmp'.length);
      if (!isOver(tag, now - fact.mtimeMs)) throw new AssemblyBusyError({ path: this.destination });
      await remove(files, path);
    }
    // Last, so that a run that dies here leaves the sign that there is still debris.
    await remove(files, this.#claimPath);
  }

  /** @throws AssemblyBusyError | WriteFailedError */
  async claim(mode: number): Promise<Claim> {
    if (working.has(this.destination)) throw new AssemblyBusyError({ path: this.destination });
    working.add(this.destination);
    const mark = newMark();
    const release = (): void => {
      working.delete(this.destination);
      mark.release();
    };
    try {
      await this.#takeClaim();
      const path = join(this.directory, `${this.#prefix}.${mark.tag}.tmp`);
      const fd = await this.#create(path, mode).catch(async (error) => {
        await remove(this.#files, this.#claimPath).catch(() => undefined);
        throw error;
      });
      return new Claim(this.#files, this.#claimPath, path, fd, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  async #takeClaim(): Promise<void> {
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      try {
        const fd = await this.#create(this.#claimPath, 0o600);
        // An empty file: no data hangs on how it is closed.
        await this.#files.close(fd).catch(() => undefined);
        return;
      } catch (error) {
        if (!(error instanceof WriteFailedError) || codeOf(error.cause) !== 'EEXIST') throw error;
        await this.clear();
      }
    }
    throw new AssemblyBusyError({ path: this.destination });
  }

  async #create(path: string, mode: number): Promise<number> {
    try {
      return await this.#files.open(path, flags.createNew, mode);
    } catch (cause) {
      throw new WriteFailedError({ path, cause });
    }
  }
}

/** A run's right to work, and its open temporary file. */
export class Claim {
  readonly path: string;
  readonly fd: number;
  readonly #files: FilePort;
  readonly #claimPath: string;
  readonly #release: () => void;
  #open = true;

  constructor(files: FilePort, claimPath: string, path: string, fd: number, release: () => void) {
    this.#files = files;
    this.#claimPath = claimPath;
    this.path = path;
    this.fd = fd;
    this.#release = release;
  }

  /** An error here may be the last word on data that was written: it counts. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#files.close(this.fd);
  }

  /**
   * Leaves nothing behind. Errors are not thrown, because the outcome stands already; what could not be taken away is
   * found by the next run to this destination, so the claim goes last and only after the rest.
   */
  async end(): Promise<void> {
    await this.close().catch(() => undefined);
    const gone = await remove(this.#files, this.path).then(
      () => true,
      () => false,
    );
    if (gone) await remove(this.#files, this.#claimPath).catch(() => undefined);
    this.#release();
  }
}

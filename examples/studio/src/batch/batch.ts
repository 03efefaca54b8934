import type { State, Updated, Updater } from '@chunks/state';
import { HttpProblem } from '../http/problem.ts';
import type { BatchCommit, BatchFile, BatchFileRequest, BatchFinal, BatchView } from '../protocol.ts';

/** One record a batch: every file with its state, so that one version speaks of all of them. */
export interface BatchRecord {
  status: 'open' | 'enqueued';
  /** A list, in order of arrival: a file id chosen by a client is never used as a property name. */
  files: BatchFile[];
}

const MAX_FILES = 10_000;

/** The updates of one batch record. Each may come many times and takes effect once. */
export class Batch {
  readonly id: string;
  readonly #state: State<BatchRecord>;
  readonly #changed: () => void;

  constructor(id: string, state: State<BatchRecord>, changed: () => void) {
    this.id = id;
    this.#state = state;
    this.#changed = changed;
  }

  /** What `createState` is given for a batch that nobody has written to. */
  static initial(): BatchRecord {
    return { status: 'open', files: [] };
  }

  async view(): Promise<BatchView> {
    const found = await this.#state.get(this.id);
    return { id: this.id, version: found?.version ?? 0, ...(found?.state ?? Batch.initial()) };
  }

  /** Idempotent by file id; a start after `finalize` opens the batch again. @throws HttpProblem 409 for another file of that id */
  async start(request: BatchFileRequest, ifVersion?: number): Promise<BatchCommit & { readonly created: boolean }> {
    const { fileId, name, sizeBytes } = request;
    const updated = await this.#update(ifVersion, (draft, context) => {
      const known = draft.files.find((file) => file.fileId === fileId);
      if (known !== undefined) {
        if (known.name === name && known.sizeBytes === sizeBytes) return context.skip({ file: known, written: false });
        throw new HttpProblem(409, 'other-file', `${fileId} was started as another file, ${known.name}`);
      }
      if (draft.files.length >= MAX_FILES) {
        throw new HttpProblem(413, 'batch-full', `A batch holds at most ${MAX_FILES} files`);
      }
      const file: BatchFile = { fileId, name, sizeBytes, status: 'started', version: context.version + 1 };
      draft.files.push(file);
      draft.status = 'open';
      return { file, written: true };
    });
    return { ...commitOf(updated), created: updated.result.written };
  }

  /** Idempotent. @throws HttpProblem 404 for a file that was never started */
  async complete(fileId: string, ifVersion?: number): Promise<BatchCommit> {
    const updated = await this.#update(ifVersion, (draft, context) => {
      const at = draft.files.findIndex((file) => file.fileId === fileId);
      const known = draft.files[at];
      if (known === undefined)
        throw new HttpProblem(404, 'never-started', `No file ${fileId} was started in this batch`);
      if (known.status === 'complete') return context.skip({ file: known, written: false });
      const file: BatchFile = { ...known, status: 'complete', version: context.version + 1 };
      draft.files[at] = file;
      return { file, written: true };
    });
    return commitOf(updated);
  }

  /** Idempotent. @throws HttpProblem 409 while files are on their way */
  async finalize(ifVersion?: number): Promise<BatchFinal> {
    const { result } = await this.#update(ifVersion, (draft, context) => {
      const pending = draft.files.filter((file) => file.status !== 'complete').length;
      if (pending > 0) throw new HttpProblem(409, 'files-pending', `${pending} files are not complete yet`);
      const final: BatchFinal = { filesUploaded: draft.files.length, status: 'enqueued' };
      if (draft.status === 'enqueued') return context.skip(final);
      draft.status = 'enqueued';
      return final;
    });
    return result;
  }

  async remove(fileId: string): Promise<void> {
    await this.#update(undefined, (draft) => {
      draft.files = draft.files.filter((file) => file.fileId !== fileId);
    });
  }

  async #update<R>(ifVersion: number | undefined, updater: Updater<BatchRecord, R>): Promise<Updated<BatchRecord, R>> {
    try {
      return await this.#state.update(this.id, updater, { ifVersion });
    } catch (error) {
      const conflict = error instanceof Error && 'code' in error && error.code === 'UPDATE_CONFLICT';
      if (!conflict || ifVersion === undefined) throw error;
      throw new HttpProblem(412, 'version-changed', `The batch is not at version ${ifVersion} any more`);
    } finally {
      this.#changed();
    }
  }
}

const commitOf = (updated: Updated<BatchRecord, { file: BatchFile; written: boolean }>): BatchCommit => {
  const { file, written } = updated.result;
  return written ? { version: updated.version, index: updated.index, file } : { version: file.version, file };
};

import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AssemblyReport, UploadStatus } from '../protocol.ts';
import type { Chance } from './chance.ts';
import { Client } from './client.ts';
import { checkReaders } from './readers.ts';
import type { Report } from './report.ts';
import { digestOf, digestOfFile, type Sample } from './samples.ts';
import { type Sent, sendChunks, stepsFor } from './send.ts';
import { type ServerOptions, ServerProcess } from './server-process.ts';

const MIB = 1024 * 1024;
const MAX_RSS_BYTES = 400 * MIB;

/** The defaults where the file is large enough to have several chunks of them, else chunks small enough for that. */
function chunkSizes(sizeBytes: number): { chunkSizeBytes: number; cacheChunkSizeBytes: number } {
  if (sizeBytes >= 32 * MIB) return { chunkSizeBytes: 8 * MIB, cacheChunkSizeBytes: 10 * MIB };
  const part = Math.max(1024, Math.ceil(sizeBytes / 12));
  return { chunkSizeBytes: part, cacheChunkSizeBytes: Math.max(1024, Math.ceil(sizeBytes / 7)) };
}

/** One file's whole way, with the server killed twice on it. */
export class Journey {
  readonly #sample: Sample;
  readonly #chance: Chance;
  readonly #report: Report;
  readonly #options: ServerOptions;
  #server: ServerProcess;
  #client: Client;

  private constructor(sample: Sample, chance: Chance, report: Report, options: ServerOptions, server: ServerProcess) {
    this.#sample = sample;
    this.#chance = chance;
    this.#report = report;
    this.#options = options;
    this.#server = server;
    this.#client = new Client(server.url);
  }

  /** @param directory Where the server's data go meanwhile. */
  static async run(
    sample: Sample,
    chance: Chance,
    report: Report,
    directory: string,
    nodeArgs?: readonly string[],
  ): Promise<void> {
    const data = await mkdtemp(join(directory, 'data-'));
    const options = { data, nodeArgs, ...chunkSizes(sample.sizeBytes) };
    const journey = new Journey(sample, chance, report, options, await ServerProcess.start(options));
    const file = await open(sample.path, 'r');
    try {
      await journey.#travel(file);
    } finally {
      await file.close();
      await journey.#server.kill();
      await rm(data, { recursive: true, force: true });
    }
  }

  async #travel(file: FileHandle): Promise<void> {
    const report = this.#report;
    const digestIn = digestOfFile(this.#sample.path);
    // Awaited further down: until then a failure must not count as unhandled.
    digestIn.catch(() => undefined);
    const upload = await this.#upload(file);
    const assembly = await this.#assemble(upload);
    const { hex, bytes } = await digestIn;
    const atRest = assembly.sha256 === hex && assembly.bytes === bytes;
    report.check(
      atRest,
      `assembled by engine ${assembly.engine}: sha-256 of the file is that of the source`,
      assembly.sha256,
    );
    await this.#play(upload, hex, bytes);
    if (bytes > 0) {
      const { cacheChunkSizeBytes } = this.#options as Required<ServerOptions>;
      const readers = { client: this.#client, sample: this.#sample, upload, chance: this.#chance, report };
      await checkReaders(readers, cacheChunkSizeBytes as number);
    }
    const rss = await this.#server.peakRssBytes();
    if (rss !== undefined) {
      const megabytes = Math.round(rss / 1e6);
      report.check(rss < MAX_RSS_BYTES, `memory stayed flat: the server never had more than ${megabytes} MB resident`);
    }
    const how = await this.#server.stop();
    report.check(how === 0, 'SIGTERM: a clean stop', `ended with ${how}`);
  }

  async #restart(): Promise<void> {
    await this.#server.kill();
    this.#server = await ServerProcess.start(this.#options);
    this.#client = new Client(this.#server.url);
  }

  async #upload(file: FileHandle): Promise<UploadStatus> {
    const report = this.#report;
    const upload = await this.#client.create(this.#sample);
    const all = Array.from({ length: upload.chunkCount }, (_, index) => index);
    const answers = 1 + this.#chance.below(Math.max(1, stepsFor(all) - 1));
    const killed = { answers, act: () => void this.#server.kill() };
    const common = { upload, file, chance: this.#chance };
    const before = await sendChunks({ ...common, client: this.#client, indices: all, after: killed });
    await this.#restart();

    const { missing } = await this.#client.status(upload.id);
    const lost = missing.filter((index) => before.acknowledged.has(index));
    const kept = `${before.acknowledged.size} of ${all.length} chunks acknowledged, then kill -9: all of them kept`;
    if (all.length > 0) report.check(lost.length === 0, kept, `lost ${lost.join(', ')}`);
    const rest = await sendChunks({ ...common, client: this.#client, indices: missing });
    if (all.length > 0) this.#checkSent(before, rest);
    const left = (await this.#client.status(upload.id)).missing;
    report.check(left.length === 0, `${missing.length} sent after the restart, none missing`, left.join(', '));
    return upload;
  }

  #checkSent(before: Sent, rest: Sent): void {
    const taken = before.wronglyTaken + rest.wronglyTaken;
    const corrupted = before.corrupted + rest.corrupted;
    const duplicates = before.duplicates + rest.duplicates;
    const refused = [...before.wronglyRefused, ...rest.wronglyRefused];
    const report = this.#report;
    if (corrupted > 0) report.check(taken === 0, `${corrupted} corrupted slices sent, each refused`, `${taken} taken`);
    const harmless = `no right chunk refused, ${duplicates} of them sent twice`;
    report.check(refused.length === 0, harmless, `answered ${refused.join(', ')}`);
    report.check(!rest.cut, 'no connection lost but by the kill');
  }

  async #assemble(upload: UploadStatus): Promise<AssemblyReport> {
    // Killed somewhere in it: before, amid or after the copy, by chance.
    const started = this.#client.assemble(upload.id).catch(() => undefined);
    await sleep(this.#chance.next() * (5 + upload.sizeBytes / 1e6));
    await this.#restart();
    await started;
    const reports = await Promise.all([1, 2, 3].map(() => this.#client.assemble(upload.id)));
    const again = await this.#client.assemble(upload.id);
    const one = reports.every((report) => JSON.stringify(report) === JSON.stringify(again));
    this.#report.check(one, 'kill -9 in mid-assembly, then four more requests: assembled once, one answer');
    const { files } = await this.#client.batch();
    const entry = files.find((file) => file.fileId === upload.id);
    this.#report.check(entry?.status === 'complete', 'the batch record lists the file as complete', entry?.status);
    return again;
  }

  async #play(upload: UploadStatus, hexIn: string, bytesIn: number): Promise<void> {
    const response = await this.#client.play(upload.id);
    const { hex, bytes } = await digestOf(response.body ?? emptyBody());
    const same = response.status === 200 && hex === hexIn && bytes === bytesIn;
    const what = `played through the range cache: digest in = digest out (${bytesIn} bytes, ${hexIn.slice(0, 16)}…)`;
    this.#report.check(same, what, `${response.status}, ${bytes} bytes, ${hex}`);
  }
}

async function* emptyBody(): AsyncGenerator<Uint8Array> {}

import type { BatchCommit } from '../protocol.ts';
import { Client } from './client.ts';
import type { Report } from './report.ts';

const UPDATES = 50;

/** 50 updates of one record at once: none lost, versions without a gap, each with a place of its own. */
export async function checkBatchUpdates(url: string, report: Report): Promise<void> {
  const client = new Client(url);
  const before = await client.batch();
  const commits = await Promise.all(
    Array.from({ length: UPDATES }, (_, number) =>
      client.json<BatchCommit>('POST', '/batches/studio/files', {
        fileId: `parallel-${number}`,
        name: `file ${number}.bin`,
        sizeBytes: number,
      }),
    ),
  );
  const after = await client.batch();
  const there = new Set(after.files.map((file) => file.fileId));
  const lost = commits.filter((commit) => !there.has(commit.file.fileId)).length;
  const grown = after.files.length - before.files.length;
  report.check(lost === 0 && grown === UPDATES, `${UPDATES} parallel batch updates, none lost`, `${lost} lost`);

  const versions = [...new Set(commits.map((commit) => commit.version))].sort((a, b) => a - b);
  const gapless =
    versions.every((version, at) => version === before.version + 1 + at) && versions.at(-1) === after.version;
  const range = `${before.version} to ${after.version}`;
  report.check(gapless, `versions went from ${range} by one a commit, without a gap`, versions.join(', '));
  const places = new Set(commits.map(({ version, index }) => `${version}/${index}`));
  report.check(places.size === UPDATES, 'every update has its own (version, index)', `${places.size} places`);
}

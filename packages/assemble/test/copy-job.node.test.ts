import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { CopyDigests, checkOpened, openFailed } from '../src/copy-job.ts';
import type { FileFacts } from '../src/file-port.ts';
import type { PlannedChunk } from '../src/plan.ts';
import { checkSettings } from '../src/settings.ts';

const sha1 = (text: string) => ({ algorithm: 'sha1', hex: createHash('sha1').update(text).digest('hex') }) as const;
const planned = (index: number, text: string): PlannedChunk => ({
  index,
  path: `/c/${index}`,
  size: text.length,
  startByte: 0,
  dev: 1,
  ino: 2,
  digest: sha1(text),
});
const facts = (o: Partial<FileFacts> = {}): FileFacts => ({
  size: 3,
  dev: 1,
  ino: 2,
  mtimeMs: 0,
  isFile: () => true,
  isDirectory: () => false,
  isSymbolicLink: () => false,
  ...o,
});

describe('checkOpened', () => {
  const chunk = planned(7, 'abc');

  test('lets the planned file pass, and only that', () => {
    checkOpened(chunk, facts());
    for (const other of [{ dev: 9 }, { ino: 9 }, { isFile: () => false }]) {
      expect(() => checkOpened(chunk, facts(other))).toThrow(
        expect.objectContaining({ code: 'UNSAFE_PATH', indices: [7] }),
      );
    }
    expect(() => checkOpened(chunk, facts({ size: 4 }))).toThrow(
      expect.objectContaining({ code: 'SIZE_MISMATCH', index: 7, difference: 1 }),
    );
  });

  test('a link where the file was is no read error', () => {
    expect(openFailed(chunk, { code: 'ELOOP' })).toMatchObject({ code: 'UNSAFE_PATH' });
    expect(openFailed(chunk, { code: 'EACCES' })).toMatchObject({ code: 'CHUNK_UNAVAILABLE', index: 7 });
  });
});

describe('CopyDigests', () => {
  const base = {
    destination: '/out',
    totalBytes: 6,
    chunks: [
      { index: 0, path: '/c/0', digest: sha1('abc') },
      { index: 1, path: '/c/1', digest: sha1('def') },
    ],
  };
  const feed = (digests: CopyDigests, texts: string[]) => {
    for (const [index, text] of ['abc', 'def'].entries()) {
      digests.start(planned(index, text));
      for (const letter of texts[index] ?? '') digests.update(Buffer.from(letter));
      digests.end(planned(index, text));
    }
    return digests.finish();
  };

  test('is not there when nothing was asked for', () => {
    expect(CopyDigests.of(checkSettings(base))).toBeUndefined();
  });

  test('sums chunks and the whole in one pass', () => {
    const verify = { chunks: true, whole: sha1('abcdef') };
    const digests = () => CopyDigests.of(checkSettings({ ...base, verify })) as CopyDigests;
    expect(feed(digests(), ['abc', 'def'])).toEqual(sha1('abcdef'));
    expect(() => feed(digests(), ['abc', 'deX'])).toThrow(
      expect.objectContaining({ code: 'DIGEST_MISMATCH', index: 1 }),
    );
  });

  test('chunks are let be when only the whole is asked for', () => {
    const digests = CopyDigests.of(checkSettings({ ...base, verify: { whole: 'sha1' } })) as CopyDigests;
    expect(feed(digests, ['abX', 'def'])).toEqual(sha1('abXdef'));
  });
});

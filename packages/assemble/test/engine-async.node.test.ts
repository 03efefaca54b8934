import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { seededRandom } from '@chunks/base/testing';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { copyAsync } from '../src/engine-async.ts';
import { type FilePort, nodeFiles } from '../src/file-port.ts';
import { copying } from './support/copying.ts';

// The disk's speed is not what is tested.
vi.setConfig({ testTimeout: 60_000 });

/** Every call takes a random number of turns of the event loop, so that pieces finish in any order. */
function jittery(seed: number): FilePort {
  const random = seededRandom(seed);
  const wait = async () => {
    for (let left = Math.floor(random() * 5); left > 0; left--) await turn();
  };
  return {
    ...nodeFiles,
    read: async (...args) => wait().then(() => nodeFiles.read(...args)),
    write: async (...args) => wait().then(() => nodeFiles.write(...args)),
    close: async (fd) => wait().then(() => nodeFiles.close(fd)),
  };
}

test('in whatever order its pieces finish, the file and its digest are right', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 8 }),
      fc.integer(),
      async (sizes, seed) => {
        await copying({ sizes, files: jittery(seed) }, async (copy) => {
          await copyAsync(copy.job);
          expect(await copy.result()).toEqual(copy.whole);
          expect(copy.digest()).toBe(createHash('sha1').update(copy.whole).digest('hex'));
          expect(copy.wrote.reduce((sum, bytes) => sum + bytes, 0)).toBe(copy.whole.length);
        });
      },
    ),
    { numRuns: 60 },
  );
});

test('at most four pieces are in work, and few chunks open, however many there are', async () => {
  let inWork = 0;
  let most = 0;
  let open = 0;
  let mostOpen = 0;
  const counted = async <T>(call: Promise<T>): Promise<T> => {
    most = Math.max(most, ++inWork);
    return call.finally(() => inWork--);
  };
  const files: FilePort = {
    ...nodeFiles,
    read: (...args) => counted(nodeFiles.read(...args)),
    write: (...args) => counted(nodeFiles.write(...args)),
    open: async (...args) => {
      mostOpen = Math.max(mostOpen, ++open);
      return nodeFiles.open(...args);
    },
    close: async (fd) => {
      open--;
      return nodeFiles.close(fd);
    },
  };
  await copying({ sizes: new Array(60).fill(9000), files }, async ({ job }) => {
    await copyAsync(job);
    expect(most).toBe(4);
    expect(mostOpen).toBeLessThanOrEqual(6);
    expect(open).toBe(0);
  });
});

test('the first error is the one that is told, and nothing is closed while it is in use', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.integer({ min: 0, max: 9 }), async (seed, failing) => {
      const jitter = jittery(seed);
      const using = new Map<number, number>();
      let reads = 0;
      let closedInUse = false;
      const read: FilePort['read'] = async (fd, ...rest) => {
        using.set(fd, (using.get(fd) ?? 0) + 1);
        try {
          const mine = reads++;
          const count = await jitter.read(fd, ...rest);
          if (mine === failing) throw Object.assign(new Error('EIO'), { code: 'EIO' });
          return count;
        } finally {
          using.set(fd, (using.get(fd) ?? 0) - 1);
        }
      };
      const close: FilePort['close'] = (fd) => {
        if ((using.get(fd) ?? 0) > 0) closedInUse = true;
        return jitter.close(fd);
      };
      await copying({ sizes: [20_000, 20_000, 3000], files: { ...jitter, read, close } }, async ({ job }) => {
        await expect(copyAsync(job)).rejects.toMatchObject({ code: 'CHUNK_UNAVAILABLE', cause: { code: 'EIO' } });
      });
      expect(closedInUse).toBe(false);
    }),
    { numRuns: 40 },
  );
});

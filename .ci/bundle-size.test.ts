// What an import costs a user, minified and gzipped, and that it brings nothing along that it does not use.
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, test } from 'vitest';

/** @param imports what follows `export` in one or several statements, parted by semicolons */
async function bundle(imports: string): Promise<{ bytes: number; files: string[] }> {
  const { outputFiles, metafile } = await build({
    stdin: {
      contents: imports.replaceAll(/(^|; )/g, '$1export '),
      resolveDir: path.resolve(import.meta.dirname, '..'),
    },
    absWorkingDir: path.resolve(import.meta.dirname, '..'),
    // Where the four packages are linked together.
    nodePaths: [path.resolve(import.meta.dirname, '..', 'examples', 'studio', 'node_modules')],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2023',
    platform: 'neutral',
    external: ['node:*'],
    conditions: ['@chunks/source'],
    write: false,
    metafile: true,
  });
  const inputs = Object.values(metafile.outputs).flatMap((output) => Object.entries(output.inputs));
  return {
    bytes: gzipSync(outputFiles[0]?.contents ?? new Uint8Array(), { level: 9 }).length,
    files: inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([file]) => file),
  };
}

// The limits are what there is today, rounded up: a change that costs more has to say so here. The design's goals are
// 2,500 for the mutex, 5,000 for leases with one store, 4,000 for the state and for the event log, and are not met.
test.each([
  { imports: "{ KeyedMutex } from '@chunks/locks'", limit: 6_100, unused: /http\/|range|bytes\.ts|virtual-clock/ },
  {
    imports: "{ leaseLocker } from '@chunks/locks/lease'; { redisLeases } from '@chunks/locks/redis'",
    limit: 12_200,
    unused: /http\/|range|bytes\.ts|virtual-clock|lock-table|memory-leases|postgres|nats/,
  },
  {
    imports: "{ createLockManager } from '@chunks/locks/web-locks'",
    limit: 2_200,
    unused: /check|clock|histogram|telemetry|errors|lock-table/,
  },
  {
    imports: "{ createState, memoryStore, isStateError } from '@chunks/state'",
    limit: 12_100,
    unused: /http\/|range|bytes\.ts|emitter|sqlite/,
  },
  { imports: "{ redisStore } from '@chunks/state/redis'", limit: 2_650, unused: /http\/|lane|fold|locks/ },
  { imports: "{ natsStore } from '@chunks/state/nats'", limit: 3_500, unused: /http\/|lane|fold|locks/ },
  { imports: "{ postgresStore } from '@chunks/state/postgres'", limit: 3_450, unused: /http\/|lane|fold|locks/ },
  { imports: "{ sqliteStore } from '@chunks/state/sqlite'", limit: 2_000, unused: /http\/|lane|fold/ },
  { imports: "{ fsStore } from '@chunks/state/fs'", limit: 3_500, unused: /http\/|lane|fold/ },
  { imports: "{ denoKvStore } from '@chunks/state/deno-kv'", limit: 1_200, unused: /http\/|lane|fold|clock/ },
  // Two or three requests that prove that the bucket heeds conditions are in it.
  { imports: "{ s3Store } from '@chunks/state/s3'", limit: 2_200, unused: /http\/|lane|fold|locks/ },
  { imports: "{ r2Store } from '@chunks/state/r2'", limit: 1_200, unused: /http\/|lane|fold|locks|s3/ },
  {
    imports: "{ durableObjectStore, StateObject } from '@chunks/state/durable-object'",
    limit: 1_200,
    unused: /http\/|lane|fold|locks/,
  },
  { imports: "{ EventLog } from '@chunks/state/event-log'", limit: 5_500, unused: /http\/|lane|fold\.ts|memory/ },
  { imports: "{ workersKvLog } from '@chunks/state/workers-kv'", limit: 1_500, unused: /http\/|lane|fold|view/ },
  { imports: "{ rangeResponse } from '@chunks/assemble/http'", limit: 4_300, unused: /assemble\/src\/[^h]/ },
  { imports: "{ Coverage, ChunkGeometry } from '@chunks/manager'", limit: 1_800, unused: /http\/|downloads|flight/ },
])('$imports stays within $limit bytes', async ({ imports, limit, unused }) => {
  const { bytes, files } = await bundle(imports);
  console.log(`${imports}: ${bytes} bytes`);
  expect(files.filter((file) => unused.test(file))).toEqual([]);
  expect(bytes).toBeGreaterThan(200);
  expect(bytes).toBeLessThanOrEqual(limit);
});

import path from 'node:path';
import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { configDefaults, defineConfig, type ViteUserConfig } from 'vitest/config';

// Tests read the sources of every workspace package: nothing has to be built first.
const conditions = ['@chunks/source'];
const resolve = { conditions };
const ssr = { resolve: { conditions, externalConditions: conditions } };

// A name ending in `.node.test.ts` says that the test needs Node; every other test of a package runs on each runtime.
const needsNode = ['**/*.node.test.ts'];
// And one in `.workers.test.ts` needs workerd, for what only a Worker can be bound to.
const needsWorkers = ['**/*.workers.test.ts'];

const setupFiles = [path.resolve(import.meta.dirname, '.ci/fast-check.ts')];

// Only for what hangs: no test asserts a time, and two busy cores can be slow.
const patience = { testTimeout: 90_000, hookTimeout: 90_000 };

const config: ViteUserConfig = defineConfig({
  test: {
    // Left alone, vitest keeps one core for itself: of two, half. Suites that wait for servers and leases leave it enough.
    maxWorkers: '100%',
    projects: [
      {
        resolve,
        ssr,
        test: {
          name: 'node',
          ...patience,
          setupFiles,
          globalSetup: ['.ci/services.ts'],
          include: ['packages/*/test/**/*.test.ts', 'examples/*/test/**/*.test.ts', '.ci/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...needsWorkers],
        },
      },
      {
        resolve,
        ssr,
        plugins: [
          cloudflareTest({
            main: '.ci/worker.ts',
            miniflare: {
              compatibilityDate: '2026-11-01',
              r2Buckets: ['BUCKET', 'RECORDS'],
              kvNamespaces: ['KV'],
              durableObjects: {
                LEASES: { className: 'LeaseObject', useSQLite: true },
                STATES: { className: 'StateObject', useSQLite: true },
                TIMED_LEASES: { className: 'TimedLeaseObject', useSQLite: true },
              },
            },
          }),
        ],
        test: {
          name: 'workers',
          ...patience,
          setupFiles,
          include: ['packages/*/test/**/*.test.ts'],
          exclude: needsNode,
        },
      },
    ],
  },
});
export default config;

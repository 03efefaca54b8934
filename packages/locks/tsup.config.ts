import { type Build, bundle } from '../../.ci/tsup.ts';

const build: Build = bundle({
  index: 'src/index.ts',
  lease: 'src/lease.ts',
  redis: 'src/adapters/redis.ts',
  postgres: 'src/adapters/postgres.ts',
  sqlite: 'src/adapters/sqlite.ts',
  nats: 'src/adapters/nats.ts',
  'object-store': 'src/adapters/object-store.ts',
  'durable-object': 'src/adapters/durable-object.ts',
  'web-locks': 'src/adapters/web-locks.ts',
  tus: 'src/adapters/tus.ts',
  deadlock: 'src/adapters/deadlock.ts',
  diagnostics: 'src/adapters/diagnostics.ts',
  testing: 'src/testing.ts',
});
export default build;

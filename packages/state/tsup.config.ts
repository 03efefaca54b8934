import { type Build, bundle } from '../../.ci/tsup.ts';

const build: Build = bundle({
  index: 'src/index.ts',
  redis: 'src/adapters/redis.ts',
  nats: 'src/adapters/nats.ts',
  postgres: 'src/adapters/postgres.ts',
  sqlite: 'src/adapters/sqlite.ts',
  fs: 'src/adapters/fs.ts',
  'deno-kv': 'src/adapters/deno-kv.ts',
  s3: 'src/adapters/s3.ts',
  r2: 'src/adapters/r2.ts',
  'durable-object': 'src/adapters/durable-object.ts',
  testing: 'src/testing.ts',
  'event-log': 'src/event-log.ts',
  'workers-kv': 'src/adapters/workers-kv.ts',
});
export default build;

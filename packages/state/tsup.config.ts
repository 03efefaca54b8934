import { type Build, bundle } from '../../.ci/tsup.ts';

const build: Build = bundle({
  index: 'src/index.ts',
  sqlite: 'src/adapters/sqlite.ts',
  testing: 'src/testing.ts',
});
export default build;

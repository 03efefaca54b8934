import { type Build, bundle } from '../../.ci/tsup.ts';

const build: Build = bundle({
  index: 'src/index.ts',
  sqlite: 'src/adapters/sqlite.ts',
  'store-file': 'src/adapters/store-file.ts',
  http: 'src/adapters/http.ts',
  proxy: 'src/adapters/proxy.ts',
});
export default build;

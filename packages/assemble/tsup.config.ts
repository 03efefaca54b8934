import { type Build, bundle } from '../../.ci/tsup.ts';

const build: Build = bundle({ index: 'src/index.ts', range: 'src/range.ts', http: 'src/http.ts' });
export default build;

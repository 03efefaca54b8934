import { type Build, bundle } from '../../.ci/tsup.ts';

const build: Build = bundle({ index: 'src/index.ts' });
export default build;

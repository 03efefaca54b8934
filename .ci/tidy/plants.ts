import * as imports from './import-rules.ts';
import * as manifests from './manifest-rules.ts';
import type { Rule } from './repository.ts';
import * as sources from './source-rules.ts';
import * as texts from './text-rules.ts';

/** What a rule must find, and what it must leave alone: a rule that finds nothing proves nothing. */
export interface Plant {
  readonly rule: Rule;
  readonly files: Record<string, string>;
  readonly offenders: readonly string[];
}

/** Every rule of the house, by name. */
export const rules: Record<string, Rule> = { ...imports, ...sources, ...manifests, ...texts };

const lines = (count: number, line = ';'): string => `${line}\n`.repeat(count);
const fence = '```';
// Put together, so that the rules do not find their own examples.
const leftover = `${'TO'}${'DO'}`;
const ann = ['', 'home', 'ann'].join('/');
const home = `${ann}/chunks`;
const registry = ['https://registry', 'example', 'org'].join('.');

const importPlants: Plant[] = [
  {
    rule: imports.packagesNeverImportEachOther,
    files: {
      'packages/locks/src/a.ts': "import '@chunks/state';\nimport type { B } from '@chunks/base';\nimport './b.ts';",
      'packages/locks/test/a.test.ts': "import '@chunks/locks';\nexport * from '../../manager/src/queue.ts';",
      'packages/locks/bench/main.ts': "const a = await import('@chunks/assemble/range');",
      'packages/locks/src/b.ts': "// import '@chunks/state'\ntype S = import('@chunks/state').Store;",
      'examples/studio/src/main.ts': "import '@chunks/locks';\nimport '@chunks/state';",
    },
    offenders: [
      'packages/locks/src/a.ts:1: imports @chunks/state',
      'packages/locks/test/a.test.ts:2: imports ../../manager/src/queue.ts',
      'packages/locks/bench/main.ts:1: imports @chunks/assemble/range',
      'packages/locks/src/b.ts:2: imports @chunks/state',
    ],
  },
  {
    rule: imports.sourcesImportOnlyTheirOwnAndBase,
    files: {
      'packages/state/src/a.ts': "import 'redis';\nimport '@chunks/base';\nimport './b.ts';\nimport '../test/c.ts';",
      'packages/state/src/adapters/redis.ts': "import type { Redis } from 'ioredis';\nimport '../a.ts';",
      'packages/base/src/a.ts': "import '@chunks/base';\nimport './http/b.ts';",
      'packages/state/test/a.test.ts': "import 'vitest';",
    },
    offenders: [
      'packages/state/src/a.ts:1: imports redis',
      'packages/state/src/a.ts:4: imports ../test/c.ts',
      'packages/state/src/adapters/redis.ts:1: imports ioredis',
      'packages/base/src/a.ts:1: imports @chunks/base',
    ],
  },
  {
    rule: imports.coreNeverImportsAdapters,
    files: {
      'packages/state/src/index.ts': "export * from './adapters/sqlite.ts';\nexport * from './store.ts';",
      'packages/state/src/adapters/sqlite.ts': "import '../store.ts';\nimport './sqlite/schema.ts';",
    },
    offenders: ['packages/state/src/index.ts:1: imports ./adapters/sqlite.ts'],
  },
  {
    rule: imports.adaptersNeverImportEachOther,
    files: {
      'packages/state/src/adapters/sqlite.ts':
        "import './redis.ts';\nimport './sqlite/schema.ts';\nimport '../store.ts';",
      'packages/state/src/adapters/sqlite/schema.ts': "import '../sqlite.ts';\nimport '../redis/script.ts';",
    },
    offenders: [
      'packages/state/src/adapters/sqlite.ts:1: imports ./redis.ts',
      'packages/state/src/adapters/sqlite/schema.ts:2: imports ../redis/script.ts',
    ],
  },
  {
    rule: imports.nodeOnlyWhereItIsAllowed,
    files: {
      'packages/locks/src/a.ts': "import 'node:fs';",
      'packages/state/src/adapters/sqlite.ts': "await import('node:sqlite');",
      'packages/manager/src/adapters/http.ts': "import { request } from 'node:http';",
      'packages/assemble/src/plan.ts': "import 'node:fs';",
      'packages/assemble/src/range.ts': "import './slice.ts';",
      'packages/assemble/src/slice.ts': "export * from './deep.ts';",
      'packages/assemble/src/deep.ts': "import 'node:crypto';",
      'packages/assemble/test/plan.node.test.ts': "import 'node:fs';",
      'packages/assemble/test/slice.test.ts': "import 'node:fs';\nimport './support/shared.ts';",
      'packages/assemble/test/support/shared.ts': "import 'node:path';",
      'packages/assemble/test/support/disk.ts': "import 'node:os';",
      'packages/assemble/bench/main.ts': "import 'node:fs';",
      'examples/studio/src/main.ts': "import 'node:http';",
    },
    offenders: [
      'packages/locks/src/a.ts:1: imports node:fs',
      'packages/manager/src/adapters/http.ts:1: imports node:http',
      'packages/assemble/src/deep.ts:1: imports node:crypto',
      'packages/assemble/test/slice.test.ts:1: imports node:fs',
      'packages/assemble/test/support/shared.ts:1: imports node:path',
    ],
  },
  {
    rule: imports.everyPackageIsKnown,
    files: {
      'packages/locks/package.json': '{}',
      'packages/base/package.json': '{}',
      'packages/new/package.json': '{}',
    },
    offenders: ["packages/new/package.json: is not in the tidy rules' list of packages"],
  },
];

const sourcePlants: Plant[] = [
  {
    rule: sources.filesStayShort,
    files: {
      'packages/locks/src/a.ts': lines(286),
      'packages/locks/src/b.ts': lines(285),
      'packages/locks/test/a.test.ts': lines(999),
    },
    offenders: ['packages/locks/src/a.ts: 286 lines, 285 at most'],
  },
  {
    rule: sources.functionsStayShort,
    files: {
      'packages/locks/src/a.ts': `export const one = 1;\n/** Says what. */\nfunction a() {\n${lines(69)}}\n`,
      'packages/locks/src/b.ts': `class B {\n  b() {\n${lines(68)}  }\n}\n${lines(90)}`,
      'examples/studio/page/c.ts': `const c = () => {\n${lines(80)}};`,
      'packages/locks/test/a.test.ts': `test(() => {\n${lines(80)}});`,
    },
    offenders: [
      'packages/locks/src/a.ts:3: a function of 71 lines, 70 at most',
      'examples/studio/page/c.ts:1: a function of 82 lines, 70 at most',
    ],
  },
  {
    rule: sources.everySourceHasItsTest,
    files: {
      'packages/locks/src/index.ts': "export * from './a.ts';",
      'packages/locks/src/errors.ts': 'export class E {}',
      'packages/locks/src/body-error.ts': 'export class E {}',
      'packages/locks/src/types.ts':
        "import type { X } from './x.ts';\nexport interface A { x: X }\nexport type { X };",
      'packages/locks/src/range.ts': "export { a } from './a.ts';\nexport * from './b.ts';",
      'packages/locks/src/a.ts': 'export const a = 1;',
      'packages/locks/test/a.test.ts': '',
      'packages/locks/src/adapters/b.ts': 'export const b = 1;',
      'packages/locks/test/adapters/b.node.test.ts': '',
      'packages/locks/src/adapters/c.ts': 'export const c = 1;',
      'packages/locks/test/c.test.ts': '',
      'packages/locks/src/adapters/d.ts': 'export const d = 1;',
      'packages/locks/test/adapters/d.workers.test.ts': '',
    },
    offenders: [
      'packages/locks/src/adapters/c.ts: no packages/locks/test/adapters/c.test.ts, nor .node.test.ts, nor .workers.test.ts',
    ],
  },
  {
    rule: sources.noAnyInTypes,
    files: { 'packages/locks/src/a.ts': "// any\nexport const any = 'any';\nexport function f(x: any[]): void {}\n" },
    offenders: ['packages/locks/src/a.ts:3: any'],
  },
  {
    rule: sources.timeAndChanceComeIn,
    files: {
      'packages/base/src/clock.ts': 'Date.now(); setTimeout(f, 1);',
      'packages/locks/src/a.ts':
        'const random = Math.random;\nclock.now();\nDate.now();\nglobalThis.setTimeout(f, 1);\nnew Date(5);\nnew Date();\nMath.random();\n// Date.now()\nthis.setTimeout(f);',
    },
    offenders: [
      'packages/locks/src/a.ts:3: Date.now()',
      'packages/locks/src/a.ts:4: setTimeout()',
      'packages/locks/src/a.ts:6: new Date()',
      'packages/locks/src/a.ts:7: Math.random()',
    ],
  },
  {
    rule: sources.neutralTestsUseNoNodeGlobals,
    files: {
      'packages/locks/test/a.test.ts': 'queue.process(1);\n// process\nprocess.exit();\nimport "./b.ts";',
      'packages/locks/test/b.ts': 'const b = Buffer.from([]);',
      'packages/locks/test/a.node.test.ts': 'process.exit();',
      'packages/locks/test/child.node.ts': 'process.exit();',
    },
    offenders: ['packages/locks/test/a.test.ts:3: process', 'packages/locks/test/b.ts:1: Buffer'],
  },
];

const conditions = (bundle: string): Record<string, string> => ({
  types: `./dist/${bundle}.d.ts`,
  default: `./dist/${bundle}.js`,
});
const withSource = (bundle: string, source: string): Record<string, string> => ({
  '@chunks/source': `./src/${source}.ts`,
  ...conditions(bundle),
});
const reference = '/// <reference lib="esnext.disposable" preserve="true" />\n';

const manifestPlants: Plant[] = [
  {
    rule: manifests.publishedExportsAgree,
    files: {
      'packages/locks/package.json': JSON.stringify({
        exports: { '.': withSource('index', 'index'), './package.json': './package.json' },
        publishConfig: { exports: { '.': conditions('index'), './package.json': './package.json' } },
      }),
      'packages/state/package.json': JSON.stringify({
        exports: { '.': withSource('index', 'index'), './sqlite': withSource('sqlite', 'adapters/sqlite') },
        publishConfig: { exports: { '.': conditions('index') } },
      }),
      'packages/manager/package.json': JSON.stringify({
        exports: { '.': withSource('index', 'index') },
        publishConfig: { exports: { '.': withSource('index', 'index') } },
      }),
    },
    offenders: ['state', 'manager'].map(
      (name) => `packages/${name}/package.json: publishConfig.exports is not exports without @chunks/source`,
    ),
  },
  {
    rule: manifests.everySubpathIsBuilt,
    files: {
      'packages/state/package.json': JSON.stringify({
        exports: {
          '.': withSource('index', 'index'),
          './sqlite': withSource('sqlite', 'adapters/sqlite'),
          './redis': withSource('redis', 'adapters/redis'),
          './gone': withSource('gone', 'gone'),
          './wrong': withSource('wrong', 'right'),
        },
      }),
      'packages/state/tsup.config.ts':
        "export default bundle({ index: 'src/index.ts', 'sqlite': 'src/adapters/sqlite.ts', gone: 'src/gone.ts', wrong: 'src/wrong.ts' });",
      'packages/state/src/index.ts': '',
      'packages/state/src/adapters/sqlite.ts': '',
      'packages/state/src/wrong.ts': '',
    },
    offenders: ['./redis', './gone', './wrong'].map(
      (subpath) => `packages/state/tsup.config.ts: nothing builds ${subpath} of package.json from its source`,
    ),
  },
  {
    rule: manifests.entriesNameTheDisposableLib,
    files: {
      'packages/locks/package.json': JSON.stringify({
        exports: { '.': withSource('index', 'index'), './b': withSource('b', 'b'), './c': withSource('c', 'c') },
      }),
      'packages/locks/src/index.ts': reference,
      'packages/locks/src/b.ts': `// First something else.\n${reference}`,
    },
    offenders: ['b', 'c'].map((name) => `packages/locks/src/${name}.ts: does not begin with ${reference.trim()}`),
  },
  {
    rule: manifests.oneVersionPerDependency,
    files: {
      'package.json': JSON.stringify({ devDependencies: { a: '1.0.0', b: '2.0.0' }, peerDependencies: { c: '>=1' } }),
      'packages/locks/package.json': JSON.stringify({ dependencies: { a: '1.0.1' }, devDependencies: { c: '1.2.3' } }),
      'packages/locks/bench/package.json': JSON.stringify({ dependencies: { b: '2.0.0', d: 'link:..' } }),
      'packages/state/package.json': JSON.stringify({ dependencies: { d: 'workspace:*' } }),
    },
    offenders: ['a: 1.0.0 in package.json; 1.0.1 in packages/locks/package.json'],
  },
];

const goodReadme = `# It\n${fence}ts\ncode\n${fence}\n## Install\n## Guarantees\n## Limits\n## Comparison\n`;
const readmes = (locks: string): Record<string, string> => ({
  'README.md': goodReadme,
  'packages/locks/README.md': locks,
  'packages/state/README.md': goodReadme,
  'packages/manager/README.md': goodReadme,
});

const textPlants: Plant[] = [
  {
    rule: texts.readmesShowCodeAtOnce,
    files: {
      ...readmes(`${lines(25, 'word')}${fence}\n`),
      'packages/state/README.md': `${lines(24)}${fence}\n`,
      'README.md': 'words',
    },
    offenders: [
      'README.md: shows no code',
      'packages/locks/README.md:26: the first code is below line 25',
      'packages/assemble/README.md: is missing',
    ],
  },
  {
    rule: texts.readmesHaveTheirSections,
    files: {
      ...readmes(`## Install\n### Limits \n## Comparison to others\n${fence}\n## Guarantees\n${fence}\n`),
      'packages/assemble/README.md': goodReadme,
    },
    offenders: ['Guarantees', 'Comparison'].map((title) => `packages/locks/README.md: no section "${title}"`),
  },
  {
    rule: texts.nothingIsLeftToDo,
    files: {
      'docs/a.md': `fine\n${leftover}: all`,
      'src/a.ts': `a${leftover}b`,
      'pnpm-lock.yaml': `sha512-/${leftover}/`,
    },
    offenders: [`docs/a.md:2: ${leftover}`],
  },
  {
    rule: texts.noMachineShows,
    files: {
      'a.md': `one\nin ${home}/a and C:${'\\'}Users${'\\'}ann`,
      'b.json': `{ "at": "${home}" }`,
      'c.ts': `import '.${ann}.ts'; fetch('https://example.test${home}'); const route = '/files${ann}';`,
      'd.ts': "const planted = '/srv/checkout/planted/x';",
    },
    offenders: [
      `a.md:2: ${ann}`,
      `b.json:1: ${ann}`,
      `a.md:2: C:${'\\'}Users${'\\'}ann`,
      'd.ts:1: /srv/checkout/planted',
    ],
  },
  {
    rule: texts.noRegistryIsNamed,
    files: {
      'pnpm-lock.yaml': `resolution:\n  tarball: ${registry}/a.tgz`,
      '.npmrc': `registry=${registry}`,
      'a.md': 'See https://www.npmjs.com/package/a, or run npm install.',
    },
    offenders: [`pnpm-lock.yaml:2: tarball: ${registry}/a.tgz`, `.npmrc:1: ${registry.slice('https://'.length)}`],
  },
  {
    rule: texts.linksLeadSomewhere,
    files: {
      'README.md':
        '[a](docs/a.md) [b](docs/b.md#x) [folder](docs) [self](#there)\n[web](https://example.test/x) `[no](link)`',
      'docs/a.md': `[up](../README.md "Up") ![gone](gone.png)\n\n[ref]: ./none.md\n<img src="../a.png">\n${fence}\n[no](link)\n${fence}`,
      'a.png': '',
    },
    offenders: [
      'README.md:1: leads to docs/b.md, which is not there',
      'docs/a.md:1: leads to docs/gone.png, which is not there',
      'docs/a.md:3: leads to docs/none.md, which is not there',
    ],
  },
];

export const plants: Plant[] = [...importPlants, ...sourcePlants, ...manifestPlants, ...textPlants];

// Packs each package as it would be published, installs it in an empty folder and uses it as a stranger would.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '..');
const NAMES = ['locks', 'state', 'assemble', 'manager'] as const;
const workshop = mkdtempSync(path.join(tmpdir(), 'chunks-pack-'));
afterAll(() => rmSync(workshop, { recursive: true, force: true }));

function run(command: string, args: readonly string[], cwd: string): string {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}\n${stderr}`);
  }
}

const tool = (name: string): string => path.join(root, 'node_modules', '.bin', name);

/** Builds what is stale, packs it, and answers with the tarball's path. */
function pack(name: string): string {
  const folder = path.join(workshop, `tarball-${name}`);
  mkdirSync(folder, { recursive: true });
  run(tool('pnpm'), ['pack', '--pack-destination', folder], path.join(root, 'packages', name));
  const file = readdirSync(folder).find((entry) => entry.endsWith('.tgz'));
  if (file === undefined) throw new Error(`pnpm pack of @chunks/${name} left no tarball`);
  return path.join(folder, file);
}

/** An empty folder with just these tarballs installed. */
function install(label: string, tarballs: readonly string[]): string {
  const folder = path.join(workshop, `app-${label}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...tarballs], folder);
  return folder;
}

function compile(folder: string, label: string, options: Record<string, unknown>, files: readonly string[]): void {
  const config = path.join(folder, `tsconfig.${label}.json`);
  const compilerOptions = { strict: true, noEmit: true, exactOptionalPropertyTypes: true, types: [], ...options };
  writeFileSync(config, JSON.stringify({ compilerOptions, files }));
  run(tool('tsc'), ['-p', config], folder);
}

/** The first TypeScript block of a README: what a newcomer copies. */
function firstExample(readme: string): string {
  const block = /```ts\n([\s\S]*?)```/.exec(readFileSync(readme, 'utf8'))?.[1];
  if (block === undefined) throw new Error(`${readme} has no \`\`\`ts block`);
  return block;
}

/** Node's types are the one extra that examples may need. */
const typesOfNode = { types: ['node'], typeRoots: [path.join(root, 'node_modules', '@types')] };
const NODENEXT = { module: 'nodenext', target: 'es2023', lib: ['ES2023', 'DOM', 'DOM.Iterable', 'DOM.AsyncIterable'] };
const BUNDLER = { ...NODENEXT, module: 'esnext', moduleResolution: 'bundler' };

let tarballs: Record<(typeof NAMES)[number], string>;
beforeAll(() => {
  run(process.execPath, [path.join(root, '.ci', 'build.mjs')], root);
  tarballs = Object.fromEntries(NAMES.map((name) => [name, pack(name)])) as typeof tarballs;
}, 180_000);

describe.each(NAMES)('@chunks/%s, packed', { timeout: 120_000 }, (name) => {
  const manifest = JSON.parse(readFileSync(path.join(root, 'packages', name, 'package.json'), 'utf8')) as {
    exports: Record<string, unknown>;
  };
  const entries = Object.keys(manifest.exports)
    .filter((subpath) => subpath !== './package.json')
    .map((subpath) => `@chunks/${name}${subpath.slice(1)}`);
  let app: string;

  test('is installed in an empty folder and brings nothing else', () => {
    app = install(name, [tarballs[name]]);
    expect(readdirSync(path.join(app, 'node_modules', '@chunks'))).toEqual([name]);
    expect(readdirSync(path.join(app, 'node_modules')).filter((entry) => !entry.startsWith('.'))).toEqual(['@chunks']);
    const installed = readFileSync(path.join(app, 'node_modules', '@chunks', name, 'package.json'), 'utf8');
    expect(installed).not.toMatch(/workspace:|@chunks\/source/);
    expect(existsSync(path.join(app, 'node_modules', '@chunks', name, 'LICENSE'))).toBe(true);
  });

  test('is clean for publint --strict and attw (esm-only)', () => {
    expect(run(tool('publint'), ['--strict', tarballs[name]], workshop)).toMatch(/All good/);
    // It exits with 1 for a problem; what it prints of the ignored resolutions is no problem of an ESM-only package.
    expect(run(tool('attw'), [tarballs[name], '--profile', 'esm-only'], workshop)).toMatch(/node16 \(from ESM\).*🟢/);
  });

  test('works from ESM and from CJS require, every subpath', () => {
    for (const entry of entries) {
      const esm = `const all = await import('${entry}'); console.log(Object.keys(all).length)`;
      const cjs = `console.log(Object.keys(require('${entry}')).length)`;
      expect(Number(run(process.execPath, ['--input-type=module', '-e', esm], app))).toBeGreaterThan(0);
      expect(Number(run(process.execPath, ['--input-type=commonjs', '-e', cjs], app))).toBeGreaterThan(0);
    }
  });

  test('has declarations that never name the private base', () => {
    const dist = path.join(app, 'node_modules', '@chunks', name, 'dist');
    const declarations = readdirSync(dist).filter((file) => file.endsWith('.d.ts'));
    expect(declarations.length).toBeGreaterThanOrEqual(entries.length);
    for (const file of readdirSync(dist).filter((entry) => /\.(d\.ts|js)$/.test(entry))) {
      expect(readFileSync(path.join(dist, file), 'utf8'), file).not.toContain('@chunks/base');
    }
  });

  test('compiles in TypeScript nodenext and bundler, on DOM types or on Workers-like types alone', () => {
    const uses = entries.map((entry, i) => `import * as m${i} from '${entry}';\nexport const k${i}: object = m${i};\n`);
    writeFileSync(path.join(app, 'use.ts'), uses.join(''));
    compile(app, 'nodenext', NODENEXT, ['use.ts']);
    compile(app, 'bundler', BUNDLER, ['use.ts']);
    compile(app, 'worker', { ...BUNDLER, lib: ['ES2022', 'WebWorker'] }, ['use.ts']);
  });

  test('has a README whose first example compiles and runs', () => {
    writeFileSync(path.join(app, 'example.ts'), firstExample(path.join(root, 'packages', name, 'README.md')));
    compile(app, 'example', { ...NODENEXT, ...typesOfNode }, ['example.ts']);
    run(process.execPath, ['example.ts'], app);
  });
});

test('an error has one class, whichever subpath it comes from', () => {
  const app = install('classes', [tarballs.locks]);
  const script = `
    import { isLockError, LockUnavailableError } from '@chunks/locks';
    import { leaseLocker } from '@chunks/locks/lease';
    const absent = async () => { throw new Error('nobody there'); };
    const driver = { name: 'absent', modes: ['exclusive'], acquire: absent, renew: absent, release: absent };
    const error = await leaseLocker(driver).acquire('k').catch((reason) => reason);
    console.log(isLockError(error), error instanceof LockUnavailableError, error.code);`;
  expect(run(process.execPath, ['--input-type=module', '-e', script], app)).toBe('true true LOCK_UNAVAILABLE\n');
});

test('the root README’s first example compiles and runs on the packed packages', { timeout: 120_000 }, () => {
  const app = install('all', Object.values(tarballs));
  writeFileSync(path.join(app, 'example.ts'), firstExample(path.join(root, 'README.md')));
  compile(app, 'example', { ...NODENEXT, ...typesOfNode }, ['example.ts']);
  run(process.execPath, ['example.ts'], app);
});

// Builds the packages whose sources changed since their last build. `--no-types` leaves the declarations out, which
// is all that running the examples needs and several times faster.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const withTypes = !process.argv.includes('--no-types');

const filesBelow = (folder) =>
  readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();

const fingerprint = (name) => {
  const hash = createHash('sha256');
  const shared = ['package.json', 'tsconfig.base.json', 'tsconfig.json', '.ci/tsup.ts'];
  const own = ['package.json', 'tsup.config.ts'].map((file) => `packages/${name}/${file}`);
  const files = [...shared, ...own].map((file) => path.join(root, file));
  for (const file of [...files, ...filesBelow(`packages/${name}/src`), ...filesBelow('packages/base/src')]) {
    hash.update(path.relative(root, file)).update(readFileSync(file));
  }
  return hash.digest('hex');
};

const stampOf = (name, kind) => path.join(root, 'node_modules', `.chunks-build-${name}-${kind}`);

function isFresh(name, print) {
  if (!existsSync(path.join(root, 'packages', name, 'dist', 'index.js'))) return false;
  // A build with types serves those who want none.
  return ['types', ...(withTypes ? [] : ['plain'])].some(
    (kind) => existsSync(stampOf(name, kind)) && readFileSync(stampOf(name, kind), 'utf8') === print,
  );
}

async function build(name) {
  const print = fingerprint(name);
  if (isFresh(name, print)) return;
  for (const kind of ['types', 'plain']) if (existsSync(stampOf(name, kind))) writeFileSync(stampOf(name, kind), '');
  const tsup = path.join(root, 'node_modules', 'tsup', 'dist', 'cli-default.js');
  const child = spawn(process.execPath, [tsup, '--silent'], {
    cwd: path.join(root, 'packages', name),
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, CHUNKS_BUILD_TYPES: withTypes ? 'yes' : 'no' },
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`build: @chunks/${name} failed with exit code ${code}`);
  writeFileSync(stampOf(name, withTypes ? 'types' : 'plain'), print);
  console.log(`build: @chunks/${name}${withTypes ? '' : ' (without types)'}`);
}

await Promise.all(['locks', 'state', 'assemble', 'manager'].map(build));

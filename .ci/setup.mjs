// Bootstraps the project on any host with Node ≥ 20.19 and npm: installs pnpm's pinned version, the packages of the
// asked-for scope and the pinned Node, and does nothing when nothing has changed since. Plain JavaScript, no imports
// from node_modules: it runs before they exist.
//
//   node .ci/setup.mjs          all that the suites need
//   node .ci/setup.mjs studio   only what `npm start` needs
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
// TypeScript sources run unbuilt from this version on.
const MIN_NODE = [22, 18];

const manifests = () => {
  const nested = ['packages', 'examples'].flatMap((folder) =>
    readdirSync(path.join(root, folder)).map((name) => path.join(folder, name, 'package.json')),
  );
  return ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', ...nested].filter((file) =>
    existsSync(path.join(root, file)),
  );
};

const fingerprint = () => {
  const hash = createHash('sha256').update(process.platform + process.arch);
  for (const file of manifests()) hash.update(file).update(readFileSync(path.join(root, file)));
  return hash.digest('hex');
};

const stampOf = (scope) => path.join(root, 'node_modules', `.chunks-setup-${scope}`);
const isFresh = (scope, print) => existsSync(stampOf(scope)) && readFileSync(stampOf(scope), 'utf8') === print;

function install(scope) {
  const { packageManager } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  // Root `dependencies` are what starting needs, `devDependencies` what testing needs.
  const only = scope === 'studio' ? ['--prod', '--filter', '.', '--filter', '@chunks/studio...'] : [];
  // The lockfile was checked when it was written. To check its hundreds of entries again, by as many requests, before
  // anything is fetched takes up to a minute where the registry answers slowly.
  const asLocked = ['--frozen-lockfile', '--trust-lockfile', '--config.confirmModulesPurge=false'];
  const args = ['--yes', packageManager, 'install', ...asLocked, ...only];
  console.log(`setup: installing what ${scope === 'studio' ? 'the studio needs' : 'the suites need'} …`);
  const { status, error } = spawnSync('npx', args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
  });
  if (status !== 0) {
    console.error(`setup: npx ${args.join(' ')} failed (${error?.message ?? `exit code ${status}`}).`);
    console.error('setup: it needs npm and a reachable npm registry; run it again when both are there.');
    process.exit(1);
  }
}

/** The pinned Node, or the host's own where no package ships one for this platform. */
function checkNode() {
  const pinned = path.join(root, 'node_modules', '.bin', 'node');
  const version = existsSync(pinned) ? spawnSync(pinned, ['-v'], { encoding: 'utf8' }).stdout.trim() : process.version;
  const [major = 0, minor = 0] = version.slice(1).split('.').map(Number);
  if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1])) return;
  console.error(
    `setup: Node ≥ ${MIN_NODE.join('.')} is needed here, and this platform has no pinned one: found ${version}.`,
  );
  process.exit(1);
}

const print = fingerprint();
const wanted = process.argv[2] === 'studio' ? 'studio' : 'all';
// A full installation serves the studio too, and is never cut down to it.
const scope = existsSync(stampOf('all')) ? 'all' : wanted;
if (!isFresh(scope, print)) {
  install(scope);
  mkdirSync(path.join(root, 'node_modules'), { recursive: true });
  writeFileSync(stampOf(scope), print);
}
checkNode();

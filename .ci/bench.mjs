// Runs the benchmarks of the packages named on the command line, of all that have one otherwise. The peers that they
// measure against are installed here, each set in its own bench folder, so that nobody else has to carry them.
//
//   pnpm bench              all
//   pnpm bench locks        one
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const benchOf = (name) => path.join(root, 'packages', name, 'bench');

const available = readdirSync(path.join(root, 'packages')).filter((name) =>
  existsSync(path.join(benchOf(name), 'main.ts')),
);
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !available.includes(name));
if (unknown.length > 0) {
  console.error(`bench: no benchmark called ${unknown.join(', ')}; there are ${available.join(', ')}`);
  process.exit(2);
}

function run(command, args, cwd) {
  const { status } = spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) process.exit(status ?? 1);
}

function installPeers(folder) {
  const manifest = path.join(folder, 'package.json');
  if (!existsSync(manifest)) return;
  const stamp = path.join(folder, 'node_modules', '.chunks-peers');
  const wanted = readFileSync(manifest, 'utf8');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  run('pnpm', ['install', '--ignore-workspace', '--no-lockfile', '--silent'], folder);
  writeFileSync(stamp, wanted);
}

run(process.execPath, [path.join(root, '.ci', 'build.mjs')], root);
for (const name of asked.length > 0 ? asked : available) {
  installPeers(benchOf(name));
  console.log(`\n# @chunks/${name}`);
  run(process.execPath, ['--expose-gc', 'main.ts'], benchOf(name));
}

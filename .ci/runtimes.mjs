// Runs every package's tests on further Node versions. Their binaries come from the registry's script-free platform
// packages, into a folder of their own, on first use.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const VERSIONS = ['22.23.3', '26.10.0'];

const run = (command, args, cwd) => spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] }).status;

function nodeOf(version) {
  const platform = `node-${process.platform}-${process.arch}`;
  const folder = path.join(root, '.runtimes', version);
  const binary = path.join(folder, 'node_modules', platform, 'bin', 'node');
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ private: true }));
    const status = run('pnpm', ['add', '--ignore-workspace', '--silent', `${platform}@${version}`], folder);
    if (status !== 0) throw new Error(`runtimes: ${platform}@${version} could not be installed`);
  }
  return binary;
}

const ran = VERSIONS.map((version) => {
  console.log(`\nruntimes: packages' tests on Node ${version}`);
  const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs');
  return { version, status: run(nodeOf(version), [vitest, 'run', '--project', 'node', 'packages'], root) };
});
for (const { version, status } of ran) console.log(`runtimes: Node ${version} ${status === 0 ? 'passed' : 'FAILED'}`);
process.exit(ran.every(({ status }) => status === 0) ? 0 : 1);

// `npm start`: sets up, builds what is stale, and runs the studio on the pinned Node. Runs on the host's Node, before
// anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

function step(node, ...args) {
  const { status } = spawnSync(node, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

step(process.execPath, '.ci/setup.mjs', 'studio');
const pinned = path.join(root, 'node_modules', '.bin', 'node');
// Where there is no pinned one, set-up has seen that the host's own will do.
const node = existsSync(pinned) ? pinned : process.execPath;
step(node, '.ci/build.mjs', '--no-types');

const studio = spawn(node, ['examples/studio/src/main.ts', ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' });
const stop = () => studio.kill('SIGTERM');
process.on('SIGTERM', stop);
// npm passes a SIGTERM on to the shell that it runs this in, and the shell dies of it without a word to its child.
const parent = process.ppid;
setInterval(() => process.ppid === parent || stop(), 500);
// Ctrl+C reaches every process of the terminal by itself; this one only has to outlive the studio's clean stop.
process.on('SIGINT', () => undefined);
studio.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));

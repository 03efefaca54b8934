// Which servers the suites can have. Without one its suites are left out, and said to be; with CHUNKS_SERVICES=required
// an absent server fails the run.
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { listens } from './testing/listens.ts';

// Beside the server that is there for all, suites start servers of their own, to stop and to kill them.
const SERVICES = {
  redis: { port: 6379, program: 'redis-server' },
  postgres: { port: 5432, program: 'initdb' },
  nats: { port: 4222, program: 'nats-server' },
} as const;
export type Service = keyof typeof SERVICES;

declare module 'vitest' {
  interface ProvidedContext {
    services: readonly Service[];
  }
}

function isInstalled(program: string): boolean {
  const folders = [
    ...(process.env['PATH'] ?? '').split(path.delimiter),
    ...globSync('/usr/{lib/postgresql/*,pgsql-*}/bin'),
  ];
  return folders.some((folder) => existsSync(path.join(folder, program)));
}

/** @returns what there is not, in words; undefined when nothing is missing */
async function lacking(service: Service): Promise<string | undefined> {
  const { port, program } = SERVICES[service];
  if (!(await listens(port))) return `nobody listens on 127.0.0.1:${port} (${service})`;
  return isInstalled(program) ? undefined : `there is no ${program} on this machine`;
}

function suitesThatNeed(service: Service): string[] {
  const root = path.resolve(import.meta.dirname, '..');
  const files = globSync('{packages,examples}/*/test/**/*.test.ts', { cwd: root });
  return files
    .filter((file) => readFileSync(path.join(root, file), 'utf8').includes(`describeWith('${service}'`))
    .sort();
}

export default async function findServices(project: TestProject): Promise<() => void> {
  const all = Object.keys(SERVICES) as Service[];
  const lacks = await Promise.all(all.map(lacking));
  const missing = all.filter((_, index) => lacks[index] !== undefined);
  const lines = missing.map((service) => {
    const suites = suitesThatNeed(service);
    return `${lacks[all.indexOf(service)]}, which ${suites.length} suites need: ${suites.join(', ')}`;
  });
  if (missing.length > 0 && process.env['CHUNKS_SERVICES'] === 'required') {
    throw new Error(`CHUNKS_SERVICES=required, but ${lines.join('; ')}`);
  }
  project.provide(
    'services',
    all.filter((service) => !missing.includes(service)),
  );
  // Said after everything else, where it is seen.
  return () => {
    for (const line of lines) console.warn(`LEFT OUT: ${line}`);
  };
}

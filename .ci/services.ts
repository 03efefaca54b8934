// Which servers the suites can have. Without one its suites are left out, and said to be; with CHUNKS_SERVICES=required
// an absent server fails the run.
import { globSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import type { TestProject } from 'vitest/node';

const PORTS = { redis: 6379, postgres: 5432, nats: 4222 } as const;
export type Service = keyof typeof PORTS;

declare module 'vitest' {
  interface ProvidedContext {
    services: readonly Service[];
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 2_000 });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
  });
}

function suitesThatNeed(service: Service): string[] {
  const root = path.resolve(import.meta.dirname, '..');
  const files = globSync('{packages,examples}/*/test/**/*.test.ts', { cwd: root });
  return files
    .filter((file) => readFileSync(path.join(root, file), 'utf8').includes(`describeWith('${service}'`))
    .sort();
}

export default async function findServices(project: TestProject): Promise<() => void> {
  const all = Object.keys(PORTS) as Service[];
  const up = await Promise.all(all.map((service) => listens(PORTS[service])));
  const missing = all.filter((_, index) => !up[index]);
  const lines = missing.map((service) => {
    const suites = suitesThatNeed(service);
    return `nobody listens on 127.0.0.1:${PORTS[service]} (${service}), which ${suites.length} suites need: ${suites.join(', ')}`;
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

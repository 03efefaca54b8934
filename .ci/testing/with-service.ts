import { describe, inject } from 'vitest';
import type { Service } from '../services.ts';

/** A suite on a real server; left out, aloud, where there is none. */
export function describeWith(service: Service, name: string, body: () => void): void {
  describe.skipIf(!inject('services').includes(service))(`${name} (on a real ${service})`, body);
}

import { VirtualClock } from '@chunks/base/testing';
import { LeaseObject, type LeaseObjectState } from '../../src/adapters/durable-object.ts';

/** So far ahead that no alarm of the runtime's rings by itself. */
export const clock: VirtualClock = new VirtualClock(4_000_000_000_000);

/** A lease object whose time a test sets: it runs beside the tests, so they share the clock. */
export class TimedLeaseObject extends LeaseObject {
  constructor(state: LeaseObjectState) {
    super(state, undefined, { clock });
  }
}

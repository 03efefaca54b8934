// The Worker inside which the `workers` project runs its tests: what they bind must be exported here.
export { LeaseObject } from '../packages/locks/src/adapters/durable-object.ts';
export { TimedLeaseObject } from '../packages/locks/test/support/timed-lease-object.ts';
export { StateObject } from '../packages/state/src/adapters/durable-object.ts';
export default {};

import type { Core } from './core.ts';
import { ChunkFailedError, DiskBudgetError } from './errors.ts';
import type { Slot } from './slot.ts';
import type { ManagerEvents } from './types.ts';

/** The events that are about one chunk. */
export type SlotEvent = 'queued' | 'started' | 'progress' | 'chunk' | 'failed' | 'retry' | 'cancelled' | 'evicted';

/** What an event says beyond which chunk it is about. */
export type EventDetails<E extends SlotEvent> = Omit<ManagerEvents[E], keyof ManagerEvents['queued']>;

export function emitSlotEvent<E extends SlotEvent>(core: Core, event: E, slot: Slot, more: EventDetails<E>): void {
  if (!core.events.has(event)) return;
  const { file, chunk, range, priority } = slot;
  const generation = file.certainty === 'unknown' ? '' : file.generation;
  const own = { fileId: file.id, generation, chunk, range, priority, ...more };
  core.events.emit(event, own as unknown as ManagerEvents[E]);
}

/** Errors say so themselves; what does not is worth another try. */
export const isRetryable = (error: unknown): boolean =>
  !(typeof error === 'object' && error !== null && 'retryable' in error && error.retryable === false);

/** What one waiter is told when a chunk is given up: an object of its own, also when the slot tries anew meanwhile. */
export function waitersError(
  { file, chunk }: Slot,
  attempts: number,
  cause: unknown,
): ChunkFailedError | DiskBudgetError {
  // That there is no room is not the chunk's fault, and says more by itself.
  if (cause instanceof DiskBudgetError) return new DiskBudgetError({ ...cause, cause: cause.cause });
  return new ChunkFailedError({ fileId: file.id, chunk, attempts, cause });
}

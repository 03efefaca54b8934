import type { BatchView, FileView, LiveDelta, LiveSnapshot, Panels } from '../../src/protocol.ts';

/** What the server last said, whole. A new object a message: whoever kept the old one still sees the old truth. */
export interface LiveState {
  readonly files: ReadonlyMap<string, FileView>;
  readonly batch: BatchView | undefined;
  readonly panels: Panels | undefined;
}

export const EMPTY: LiveState = { files: new Map(), batch: undefined, panels: undefined };

/** A snapshot replaces everything: after a reconnect nothing old may survive. */
export function fromSnapshot(snapshot: LiveSnapshot): LiveState {
  return {
    files: new Map(snapshot.files.map((file) => [file.id, file])),
    batch: snapshot.batch,
    panels: snapshot.panels,
  };
}

export function withDelta(state: LiveState, delta: LiveDelta): LiveState {
  const files = new Map(state.files);
  for (const file of delta.files ?? []) files.set(file.id, file);
  for (const id of delta.removed ?? []) files.delete(id);
  return { files, batch: delta.batch ?? state.batch, panels: delta.panels ?? state.panels };
}

import type { HistoryOperation, SequentialModel } from './linearize.ts';

/** A record behind `createState`; the value is null when there is none. */
export interface RecordState {
  readonly version: number;
  readonly value: string | null;
}

export type RecordInput =
  | { readonly type: 'get' }
  | { readonly type: 'put'; readonly value: string; readonly ifVersion?: number | undefined }
  | { readonly type: 'delete' };

/** Of a get the record or null, of a put its version and the value before, of a deletion whether there was something. */
export type RecordOutput =
  | RecordState
  | { readonly version: number; readonly before: string | null }
  | boolean
  | null
  | 'conflict';

/** Whether that was heard, where anything was. */
const heard = <I, O>(operation: HistoryOperation<I, O>, output: O): boolean =>
  operation.outcome !== 'done' || JSON.stringify(operation.output) === JSON.stringify(output);

/** Versioned records as their users see them, one update a commit. */
export const recordModel: SequentialModel<RecordState, RecordInput, RecordOutput> = {
  init: { version: 0, value: null },
  step(state, operation) {
    const { input } = operation;
    const { version, value } = state;
    if (input.type === 'get') return { state, ok: heard(operation, value === null ? null : { version, value }) };
    if (input.type === 'delete') {
      if (value === null) return { state, ok: heard(operation, false) };
      return { state: { version: version + 1, value: null }, ok: heard(operation, true) };
    }
    const holds = input.ifVersion === undefined || input.ifVersion === (value === null ? 0 : version);
    if (!holds) return { state, ok: heard(operation, 'conflict') };
    const next = { version: version + 1, value: input.value };
    return { state: next, ok: heard(operation, { version: next.version, before: value }) };
  },
  onlyLooks: (operation) =>
    operation.input.type === 'get' ||
    (operation.outcome === 'done' && (operation.output === 'conflict' || operation.output === false)),
  // Versions never go down, and a put tells the one that it made.
  isTooLate: ({ version }, operation) =>
    operation.outcome === 'done' &&
    typeof operation.output === 'object' &&
    operation.output !== null &&
    (operation.input.type === 'put' ? operation.output.version <= version : operation.output.version < version),
};

/** What stands in a bare store: whose write, its value, and its revision, as soon as anybody was told it. */
export interface BareState {
  readonly by: string | null;
  readonly value: string | null;
  readonly revision: string | null;
}

export type BareInput =
  | { readonly type: 'read' }
  | {
      readonly type: 'write';
      /** Its own in the whole history. */
      readonly id: string;
      readonly value: string;
      readonly expected: string | undefined;
      /** The write whose revision that is, where it is the client's own: it must be that one, not one like it. */
      readonly over?: string | undefined;
    };

export type BareOutput =
  | { readonly value: string; readonly revision: string }
  | { readonly revision: string }
  | null
  | 'conflict';

/** A key-value store with a compare-and-set in which no revision fits twice. */
export const bareModel: SequentialModel<BareState, BareInput, BareOutput> = {
  init: { by: null, value: null, revision: null },
  step(state, operation) {
    const { input } = operation;
    const output = operation.outcome === 'done' ? operation.output : undefined;
    const told = output !== undefined && output !== null && output !== 'conflict' ? output.revision : null;
    if (input.type === 'read') {
      if (state.by === null || state.value === null) return { state, ok: heard(operation, null) };
      // The revision of a write that nobody heard of shows with the first read.
      const revision = state.revision ?? told;
      return { state: { ...state, revision }, ok: heard(operation, { value: state.value, revision: revision ?? '' }) };
    }
    if (!holds(state, input)) return { state, ok: heard(operation, 'conflict') };
    const next = { by: input.id, value: input.value, revision: told };
    return { state: next, ok: output === undefined || told !== null };
  },
  onlyLooks: (operation) =>
    operation.outcome === 'done' && (operation.output === 'conflict' || operation.output === null),
};

function holds({ by, revision }: BareState, input: Extract<BareInput, { type: 'write' }>): boolean {
  if (input.expected === undefined) return by === null;
  return input.over === undefined ? revision === input.expected : by === input.over;
}

import { type Contents, versionOf } from './envelope.ts';
import type { Folded } from './fold.ts';
import type { Form } from './form.ts';
import { lazily } from './lazy-property.ts';
import type { Member } from './member.ts';

/** Tells each caller what became of its update, now that the attempt holds. */
export function settleAll(o: {
  readonly folded: Folded;
  readonly members: readonly Member[];
  /** What was written; without a write, what was found. */
  readonly contents: Contents;
  readonly wrote: boolean;
  readonly recovered: boolean;
  readonly form: Form;
}): void {
  const { folded, contents, wrote, form } = o;
  const json = (wrote ? contents.json : undefined) ?? folded.found;
  const version = versionOf(contents);
  const batched = wrote ? o.members.filter((member) => folded.turns.get(member)?.kind === 'done').length : 0;
  let index = 0;
  for (const member of o.members) {
    const turn = folded.turns.get(member);
    if (turn === undefined) continue;
    if (turn.kind === 'failed') {
      member.reject(turn.error);
      continue;
    }
    const { key } = member.request;
    const { attempts } = member;
    const written = wrote && turn.kind === 'done';
    const value =
      turn.kind === 'replayed'
        ? { version, result: copied(turn.result), attempts, replayed: true }
        : {
            version,
            result: turn.result,
            attempts,
            index: written ? index++ : -1,
            batched: written ? batched : 0,
            recovered: written && o.recovered,
            replayed: false,
          };
    // Of a thousand updates in one commit few look at the state they get.
    member.resolve(lazily(value, 'state', () => form.decode(key, json)));
  }
}

// JSON has no undefined, which a remembered result may well be.
const copied = (result: unknown): unknown => (result === undefined ? undefined : JSON.parse(JSON.stringify(result)));

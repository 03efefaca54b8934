import { checkObject, isThenable } from './codec.ts';
import { contextOf, Heard, looksLikeState, returnedState } from './context.ts';
import { type Applied, type Base, type Contents, checkSize, follow, type Remember, versionOf } from './envelope.ts';
import { LossyStateError, UpdateConflictError } from './errors.ts';
import type { Form } from './form.ts';
import type { Member } from './member.ts';
import { OwnObjects } from './own-objects.ts';
import { Remembered } from './remembered.ts';

/** What one update came to, if this attempt holds. */
export type Turn =
  /** Part of what is to be written. */
  | { readonly kind: 'done'; readonly result: unknown; readonly applied: Applied | undefined }
  | { readonly kind: 'skipped'; readonly result: unknown }
  | { readonly kind: 'replayed'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly error: unknown };

/** One attempt of many updates on one base. */
export interface Folded {
  readonly turns: ReadonlyMap<Member, Turn>;
  /** undefined when nothing is to be written. */
  readonly next: Contents | undefined;
  /** JSON of the state that it was built on: for those who wrote nothing. */
  readonly found: string;
}

/** What does not change from attempt to attempt. */
export interface FoldSettings {
  readonly form: Form;
  readonly remember: Remember;
  readonly maxValueBytes: number;
  /** For tombstones. */
  readonly now: () => number;
}

const UPDATED = 'what the updater made';

/**
 * Applies updates in order to one draft. The draft is the text of the last checkpoint plus what ran since, so that
 * whatever goes wrong is undone by going back there and leaving out the one that did it. Checkpoints cost a pass of
 * the codec: they are taken only where something has to be told apart, and everywhere once the whole will not encode,
 * or where a schema has its say about each.
 */
export class Fold {
  readonly #base: Base;
  readonly #members: readonly Member[];
  readonly #settings: FoldSettings;
  readonly #form: Form;
  readonly #writeId: string;
  readonly #key: string;
  readonly #turns: Map<Member, Turn> = new Map();
  readonly #remembered: Remembered;
  #careful: boolean;
  /** Made of the checkpoint when somebody needs it. */
  #draft: object | undefined;
  /** Of that draft, while others are to come. */
  #own: OwnObjects | undefined;
  #found = '';
  #json = '';
  /** The first member that the checkpoint does not contain. */
  #start = 0;
  #at = 0;
  /** Take a checkpoint right before this member. */
  #cut = -1;

  constructor(o: { base: Base; members: readonly Member[]; settings: FoldSettings; writeId: string; key: string }) {
    this.#base = o.base;
    this.#members = o.members;
    this.#settings = o.settings;
    this.#form = o.settings.form;
    this.#careful = this.#form.schema !== undefined;
    this.#writeId = o.writeId;
    this.#key = o.key;
    this.#remembered = new Remembered(o.key, o.base, o.settings.remember);
  }

  /** @throws what `initial`, the schema or decoding the base throws: then there is nothing to apply anything to. */
  async run(): Promise<Folded> {
    const opening = this.#form.open(this.#key, this.#base);
    // Without a schema in one step: nobody comes in between.
    const opened = isThenable(opening) ? await opening : opening;
    this.#found = this.#json = opened.json;
    this.#draft = opened.state;
    for (;;) {
      try {
        if (this.#at === this.#cut && this.#start < this.#at) this.#checkpoint();
        const member = this.#members[this.#at];
        if (member === undefined) return this.#finish();
        if (member.settled || this.#turns.has(member)) this.#next();
        else {
          const waiting = this.#call(member);
          if (waiting !== undefined) await waiting;
        }
      } catch (error) {
        if (this.#careful) throw error;
        // Together they will not encode: find out whose fault it is.
        this.#careful = true;
        this.#restart();
      }
    }
  }

  #restart(): void {
    this.#json = this.#found;
    this.#draft = undefined;
    this.#turns.clear();
    this.#remembered.clear();
    this.#start = this.#at = 0;
  }

  #fresh(): object {
    this.#draft ??= this.#form.decode(this.#key, this.#json);
    return this.#draft;
  }

  #encoded(): string {
    return this.#draft === undefined ? this.#json : this.#form.encode(this.#key, this.#draft);
  }

  /** From here on nothing before `#at` runs again. @throws LossyStateError | ValueTooLargeError */
  #checkpoint(json = this.#encoded()): void {
    if (this.#careful && this.#settings.maxValueBytes < Number.POSITIVE_INFINITY) this.#contents(json);
    this.#json = json;
    this.#start = this.#at;
    this.#draft = undefined;
  }

  /** Leaves one out, and takes back whatever it did to the draft. */
  #leaveOut(member: Member, turn: Turn | undefined): void {
    this.#cut = this.#at;
    for (const one of this.#members.slice(this.#start, this.#at + 1)) {
      const before = this.#turns.get(one);
      // What was replayed may have been a change of this very commit: it goes with it.
      if (before?.kind === 'done' || before?.kind === 'replayed') this.#turns.delete(one);
      if (before?.kind === 'done') this.#remembered.drop(before.applied);
    }
    if (turn !== undefined) this.#turns.set(member, turn);
    this.#at = this.#start;
    this.#draft = undefined;
  }

  #call(member: Member): Promise<void> | undefined {
    const { updater, ifVersion, idempotencyKey } = member.request;
    const known = this.#remembered.find(idempotencyKey);
    if (known !== undefined) return this.#pass(member, { kind: 'replayed', result: known.result });
    const version = versionOf(this.#base);
    if (ifVersion !== undefined && (ifVersion !== version || this.#changed())) {
      const error = new UpdateConflictError({
        key: this.#key,
        attempts: member.attempts,
        lastVersion: version,
        ifVersion,
      });
      return this.#pass(member, { kind: 'failed', error });
    }
    if (updater === undefined) return this.#pass(member, this.#delete());
    // Others' drafts may still be in their callers' hands: one that waits must not share with them.
    if (updater.constructor?.name === 'AsyncFunction' && this.#start < this.#at) this.#checkpoint();
    const heard = new Heard();
    const draft = this.#fresh();
    const isLast = this.#at === this.#members.length - 1;
    if (this.#start === this.#at) this.#own = isLast || this.#careful ? undefined : new OwnObjects(draft);
    let returned: unknown;
    try {
      returned = updater(draft, contextOf(member, version, heard));
      if (isThenable(returned)) return this.#wait(member, returned, heard);
    } catch (error) {
      this.#leaveOut(member, { kind: 'failed', error });
      return undefined;
    }
    // An object may be a part of the draft.
    return this.#take(member, returned, heard, typeof returned === 'object' && returned !== null);
  }

  #pass(member: Member, turn: Turn): undefined {
    this.#turns.set(member, turn);
    if (turn.kind === 'done') {
      this.#remembered.add(turn.applied);
      this.#at++;
    } else this.#next();
  }

  /** Past one that left the draft alone: a checkpoint before it holds after it too. */
  #next(): void {
    if (this.#start === this.#at) this.#start++;
    this.#at++;
  }

  #delete(): Turn {
    return versionOf(this.#base) === 0
      ? { kind: 'skipped', result: false }
      : { kind: 'done', result: true, applied: undefined };
  }

  async #wait(member: Member, returned: PromiseLike<unknown>, heard: Heard): Promise<void> {
    if (this.#start < this.#at) {
      // Others' drafts may still be in their callers' hands, who would change this one while it waits: once more, on
      // a draft of its own. What the first call comes to nobody hears.
      returned.then(undefined, () => undefined);
      return this.#leaveOut(member, undefined);
    }
    let result: unknown;
    try {
      result = await member.whileHere(returned);
    } catch (error) {
      return this.#leaveOut(member, { kind: 'failed', error });
    }
    if (member.settled) this.#leaveOut(member, undefined);
    else await this.#take(member, result, heard, true);
  }

  /** An updater has returned. @param apart whether it may hold on to the draft, or to parts of it */
  #take(member: Member, result: unknown, heard: Heard, apart: boolean): Promise<void> | undefined {
    const alone = this.#start === this.#at;
    const suspect = !heard.skipped && !heard.replaced && looksLikeState(result, this.#fresh());
    // What it changed shows only against a checkpoint right before it: once more, then.
    if (heard.skipped || (suspect && !alone)) {
      this.#leaveOut(member, heard.skipped ? { kind: 'skipped', result } : undefined);
      return undefined;
    }
    try {
      if (suspect && this.#encoded() === this.#json) throw returnedState();
      const applied = this.#remembered.entry(member.request.idempotencyKey, result);
      const turn = { kind: 'done', result, applied } as const;
      const next = heard.replaced ? checkObject<object>(this.#key, heard.next) : this.#fresh();
      if (this.#form.schema) return this.#approve(member, turn, this.#form.checked(this.#key, next, UPDATED));
      const json = heard.replaced ? this.#form.encode(this.#key, next) : undefined;
      this.#pass(member, turn);
      const isOver = json !== undefined || apart || this.#careful;
      if (isOver || (this.#at < this.#members.length && !this.#own?.adopt(this.#fresh()))) this.#checkpoint(json);
    } catch (error) {
      // Without a checkpoint before it, the fault may be another one's.
      if (!alone && error instanceof LossyStateError && error.path.startsWith('state')) throw error;
      this.#refuse(member, error);
    }
    return undefined;
  }

  async #approve(member: Member, turn: Turn, checking: string | Promise<string>): Promise<void> {
    try {
      const json = (await member.whileHere(Promise.resolve(checking))) as string | undefined;
      if (json === undefined) return this.#leaveOut(member, undefined);
      this.#pass(member, turn);
      this.#checkpoint(json);
    } catch (error) {
      this.#refuse(member, error);
    }
  }

  #refuse(member: Member, error: unknown): void {
    this.#at = this.#members.indexOf(member);
    this.#leaveOut(member, { kind: 'failed', error });
  }

  #changed(): boolean {
    if (this.#base.json === undefined) return [...this.#turns.values()].some(({ kind }) => kind === 'done');
    if (this.#start < this.#at) this.#checkpoint();
    return this.#json !== this.#found;
  }

  /** @throws ValueTooLargeError */
  #contents(json: string | undefined): Contents {
    const { form, remember, now, maxValueBytes } = this.#settings;
    const deletedAtMs = json === undefined ? Math.floor(now()) : undefined;
    const applied = this.#remembered.own;
    const o = { shape: form.shape, json, deletedAtMs, writeId: this.#writeId, applied, remember };
    return checkSize(this.#key, follow(this.#key, this.#base, o), maxValueBytes);
  }

  #finish(): Folded {
    const folded = { turns: this.#turns, found: this.#found, next: undefined };
    const done = this.#members.filter((member) => this.#turns.get(member)?.kind === 'done');
    if (done.length === 0) return folded;
    const must = ({ request }: Member): boolean => !request.skipIfUnchanged || request.idempotencyKey !== undefined;
    let json: string | undefined;
    if (done[0]?.request.updater !== undefined) {
      if (this.#start < this.#at) this.#json = this.#encoded();
      json = this.#json;
      if (json === this.#found && this.#base.json !== undefined && !done.some(must)) return folded;
    }
    return { ...folded, next: this.#contents(json) };
  }
}

import { type Codec, encodeJson } from './codec.ts';
import { contextOf, Heard, looksLikeState, returnedState } from './context.ts';
import { type Applied, type Base, bytesOf, type Contents, follow, pack, type Remember, versionOf } from './envelope.ts';
import { LossyStateError, UpdateConflictError, ValueTooLargeError } from './errors.ts';
import type { Member } from './member.ts';

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
}

/** What does not change from attempt to attempt. */
export interface FoldSettings {
  readonly codec: Codec<object>;
  readonly initial: () => object;
  readonly remember: Remember;
  readonly maxValueBytes: number;
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | null | undefined)?.then === 'function';

/**
 * Applies updates in order to one draft. The draft is the text of the last checkpoint plus what ran since, so that
 * whatever goes wrong is undone by going back there and leaving out the one that did it. Checkpoints cost a pass of
 * the codec: they are taken only where something has to be told apart, and everywhere once the whole will not encode.
 */
export class Fold {
  readonly #base: Base;
  readonly #members: readonly Member[];
  readonly #settings: FoldSettings;
  readonly #writeId: string;
  readonly #key: string;
  readonly #turns: Map<Member, Turn> = new Map();
  #careful = false;
  #draft: object = {};
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
    this.#writeId = o.writeId;
    this.#key = o.key;
  }

  /** @throws what `initial` or decoding the base throws: then there is nothing to apply anything to. */
  async run(): Promise<Folded> {
    this.#restart();
    for (;;) {
      try {
        if (this.#at === this.#cut && this.#start < this.#at) this.#checkpoint();
        const member = this.#members[this.#at];
        if (member === undefined) return this.#finish();
        if (member.settled || this.#turns.has(member)) this.#next();
        else {
          const waiting = this.#call(member);
          if (waiting !== undefined) await waiting;
          // Whoever left meanwhile was told that nothing of it is written.
          if (waiting !== undefined && this.#someoneLeft()) this.#restart();
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
    this.#json = this.#base.json ?? this.#settings.codec.encode(this.#key, this.#settings.initial());
    this.#turns.clear();
    this.#start = this.#at = 0;
    this.#fresh();
  }

  #fresh(): void {
    this.#draft = this.#settings.codec.decode(this.#key, this.#json);
  }

  /** From here on nothing before `#at` runs again. @throws LossyStateError | ValueTooLargeError */
  #checkpoint(json = this.#settings.codec.encode(this.#key, this.#draft)): void {
    if (this.#careful) this.#contents(json);
    this.#json = json;
    this.#start = this.#at;
    this.#fresh();
  }

  /** Leaves one out, and takes back whatever it did to the draft. */
  #leaveOut(member: Member, turn: Turn | undefined): void {
    if (turn !== undefined) this.#turns.set(member, turn);
    this.#cut = this.#at;
    for (let i = this.#start; i < this.#at; i++) {
      const before = this.#members[i] as Member;
      const kind = this.#turns.get(before)?.kind;
      // What was replayed may have been a change of this very commit: it goes with it.
      if (kind === 'done' || kind === 'replayed') this.#turns.delete(before);
    }
    this.#at = this.#start;
    this.#fresh();
  }

  #call(member: Member): Promise<void> | undefined {
    const { updater, ifVersion, idempotencyKey } = member.request;
    const known = idempotencyKey === undefined ? undefined : this.#applied().find(({ key }) => key === idempotencyKey);
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
    let returned: unknown;
    try {
      returned = updater(this.#draft, contextOf(member, version, heard));
      if (isThenable(returned)) return this.#wait(member, returned, heard);
    } catch (error) {
      this.#leaveOut(member, { kind: 'failed', error });
      return undefined;
    }
    // An object may be a part of the draft.
    this.#take(member, returned, heard, typeof returned === 'object' && returned !== null);
    return undefined;
  }

  #pass(member: Member, turn: Turn): undefined {
    this.#turns.set(member, turn);
    if (turn.kind === 'done') this.#at++;
    else this.#next();
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
    let result: unknown;
    try {
      result = await member.whileHere(returned);
    } catch (error) {
      return this.#leaveOut(member, { kind: 'failed', error });
    }
    if (member.settled) this.#leaveOut(member, undefined);
    else this.#take(member, result, heard, true);
  }

  /** An updater has returned. @param apart whether it may hold on to the draft, or to parts of it */
  #take(member: Member, result: unknown, heard: Heard, apart: boolean): void {
    const alone = this.#start === this.#at;
    const suspect = !heard.skipped && !heard.replaced && looksLikeState(result, this.#draft);
    // What it changed shows only against a checkpoint right before it: once more, then.
    if (heard.skipped || (suspect && !alone)) {
      this.#leaveOut(member, heard.skipped ? { kind: 'skipped', result } : undefined);
      return;
    }
    const { codec } = this.#settings;
    try {
      if (suspect && codec.encode(this.#key, this.#draft) === this.#json) throw returnedState();
      const applied = this.#remembered(member, result);
      const json = heard.replaced ? codec.encode(this.#key, heard.next as object) : undefined;
      this.#pass(member, { kind: 'done', result, applied });
      if (json !== undefined || apart || this.#careful) this.#checkpoint(json);
    } catch (error) {
      // Without a checkpoint before it, the fault may be another one's.
      if (!alone && error instanceof LossyStateError && error.path.startsWith('state')) throw error;
      this.#at = this.#members.indexOf(member);
      this.#leaveOut(member, { kind: 'failed', error });
    }
  }

  #remembered(member: Member, result: unknown): Applied | undefined {
    const key = member.request.idempotencyKey;
    if (key === undefined) return undefined;
    const version = this.#base.version + 1;
    if (result === undefined) return { key, version };
    const applied = { key, version, result: JSON.parse(encodeJson(this.#key, result, 'result')) };
    // Here and not at the end, where it would be everybody's fault.
    follow(this.#key, this.#base, { json: '', writeId: '', applied: [applied], remember: this.#settings.remember });
    return applied;
  }

  #someoneLeft(): boolean {
    return this.#members.some((member) => member.settled && this.#turns.get(member)?.kind === 'done');
  }

  #done(): Turn[] {
    return [...this.#turns.values()].filter(({ kind }) => kind === 'done');
  }

  #changed(): boolean {
    if (this.#base.json === undefined) return this.#done().length > 0;
    if (this.#start < this.#at) this.#checkpoint();
    return this.#json !== this.#base.json;
  }

  #applied(): Applied[] {
    return [...this.#base.applied, ...this.#ownApplied()];
  }

  #ownApplied(): Applied[] {
    return this.#done().flatMap((turn) => (turn.kind === 'done' && turn.applied) || []);
  }

  #contents(json: string | undefined): Contents {
    const { remember, maxValueBytes } = this.#settings;
    const next = follow(this.#key, this.#base, { json, writeId: this.#writeId, applied: this.#ownApplied(), remember });
    const bytes = maxValueBytes === Number.POSITIVE_INFINITY ? 0 : bytesOf(pack(next));
    if (bytes <= maxValueBytes) return next;
    throw new ValueTooLargeError({ key: this.#key, what: 'the record', bytes, limit: maxValueBytes });
  }

  #finish(): Folded {
    const done = this.#members.filter((member) => this.#turns.get(member)?.kind === 'done');
    if (done.length === 0) return { turns: this.#turns, next: undefined };
    if (done[0]?.request.updater === undefined) return { turns: this.#turns, next: this.#contents(undefined) };
    if (this.#start < this.#at) this.#json = this.#settings.codec.encode(this.#key, this.#draft);
    const { json } = this.#base;
    const must = ({ request }: Member): boolean => !request.skipIfUnchanged || request.idempotencyKey !== undefined;
    const write = this.#json !== json || done.some(must);
    return { turns: this.#turns, next: write ? this.#contents(this.#json) : undefined };
  }
}

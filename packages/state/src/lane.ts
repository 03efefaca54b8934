import { type Backoff, type Clock, LinkedList, LogHistogram } from '@chunks/base';
import { type Base, bytesOf, type Contents, checkForward, isApplied, pack, unpack } from './envelope.ts';
import { anew, isStateError, StoreUnavailableError, UpdateConflictError } from './errors.ts';
import { Fold, type Folded, type FoldSettings } from './fold.ts';
import type { Member } from './member.ts';
import { settleAll } from './outcome.ts';
import type { StoreCalls } from './store-calls.ts';
import type { StateStats } from './types.ts';

/** What the lanes of one state share. */
export interface LaneSettings {
  readonly calls: StoreCalls;
  readonly fold: FoldSettings;
  readonly clock: Clock;
  readonly random: () => number;
  readonly backoff: Backoff;
  /** The round trip with which waits after conflicts are as configured. */
  readonly baseMs: number;
  readonly maxMs: number;
  readonly spreadMs: number;
  readonly maxBatch: number;
  /** Unique to one write, and telling which instance made it. */
  readonly newWriteId: () => string;
  /** The number of the newest update in any lane. */
  readonly arrivals: () => number;
  readonly stats: Counters;
}

/** {@link StateStats}, counting. */
export class Counters implements StateStats {
  updates = 0;
  commits = 0;
  attempts = 0;
  conflicts = 0;
  recovered = 0;
  ambiguous = 0;
  rejected = 0;
  readonly batch: LogHistogram = new LogHistogram();
  readonly latency: LogHistogram = new LogHistogram();
}

// So many conflicts in a row cost less than to leave the store idle.
const AT_ONCE = 3;
// Whoever has the newest record at hand needs one call where the others need two, and would win again and again: after so
// many commits it reads like them.
const IN_A_ROW = 8;

/** One attempt, ready to be written. */
interface Attempt {
  readonly base: Base;
  readonly next: Contents;
  readonly folded: Folded;
  /** Those whose changes are in it. */
  readonly sent: readonly Member[];
}

/**
 * The updates of one key, one write at a time. Members stay in the queue until they are settled, so that whatever
 * failed is simply taken again with whoever came meanwhile.
 */
export class Lane {
  readonly queue: LinkedList<Member> = new LinkedList();
  readonly #key: string;
  readonly #settings: LaneSettings;
  readonly #ended: () => void;
  #commits = 0;
  /** Failures since the last commit, for the backoff. */
  #failures = 0;
  /** Less than the store's declared limit once it has refused a value for its size. */
  #maxValueBytes: number;

  /** @param ended called in the very step in which the queue was found empty: nobody can come in between. */
  constructor(key: string, settings: LaneSettings, ended: () => void) {
    this.#key = key;
    this.#settings = settings;
    this.#ended = ended;
    this.#maxValueBytes = settings.fold.maxValueBytes;
  }

  /** Until the queue is empty. Never rejects. */
  async run(): Promise<void> {
    const { spreadMs, random, clock } = this.#settings;
    // Calls made in the same tick all come before the first read.
    await undefined;
    if (spreadMs > 0) await clock.sleep(random() * spreadMs);
    let base: Base | undefined;
    while (this.queue.size > 0) {
      try {
        base ??= await this.#load();
        if (base !== undefined) base = await this.#attempt(base);
      } catch (error) {
        // The record cannot be worked on, whoever comes: its state or `initial` is broken.
        for (const member of [...this.queue]) member.reject(anew(error));
        base = undefined;
      }
    }
    this.#ended();
  }

  /** A record to build on, or undefined when the store failed. @throws when the record is bad */
  async #load(): Promise<Base | undefined> {
    try {
      return await this.#settings.calls.read(this.#key, this.#settings.arrivals());
    } catch (error) {
      if (isStateError(error)) throw error;
      const waiting = [...this.queue];
      for (const member of waiting) member.begin();
      await this.#failed(waiting, error);
      return undefined;
    }
  }

  /** One round for those who stand in front. @returns what the next round can build on */
  async #attempt(base: Base): Promise<Base | undefined> {
    const { newWriteId } = this.#settings;
    const settings = { ...this.#settings.fold, maxValueBytes: this.#maxValueBytes };
    const members = this.#front();
    for (const member of members) member.begin();
    const fold = new Fold({ key: this.#key, base, members, settings, writeId: newWriteId() });
    const folded = await fold.run();
    const sent = members.filter((member) => folded.turns.get(member)?.kind === 'done');
    // Whoever left meanwhile was told that nothing of it is written: once more, without them.
    if (sent.some((member) => member.settled)) return base;
    if (folded.next === undefined) return this.#withoutWrite(base, members, folded);
    return this.#write({ base, next: folded.next, folded, sent });
  }

  /** Updates up to the next deletion, or one deletion: it leaves no state that others could get. */
  #front(): Member[] {
    const members: Member[] = [];
    for (const member of this.queue) {
      if (members.length === this.#settings.maxBatch) break;
      const deletes = member.request.updater === undefined;
      if (deletes && members.length > 0) break;
      members.push(member);
      if (deletes) break;
    }
    return members;
  }

  /** No write vouches for what they saw: the base must be younger than their call, or still be the newest. */
  async #withoutWrite(base: Base, members: readonly Member[], folded: Folded): Promise<Base | undefined> {
    let newest: Base | undefined = base;
    if (members.some(({ arrival }) => arrival > base.asOf)) {
      newest = await this.#load();
      if (newest === undefined || newest.revision !== base.revision) return newest;
    }
    const { form } = this.#settings.fold;
    settleAll({ folded, members, contents: base, wrote: false, recovered: false, form });
    return newest;
  }

  async #write(attempt: Attempt): Promise<Base | undefined> {
    const { base, next, sent } = attempt;
    const { calls, stats, arrivals } = this.#settings;
    const value = pack(next);
    for (const member of sent) member.send(base.version);
    // Whether an earlier copy of this write may still arrive.
    let open = false;
    for (;;) {
      const asOf = arrivals();
      let found: Base | undefined;
      stats.attempts++;
      try {
        const reply = await calls.write(this.#key, value, base.revision);
        if ('revision' in reply) return this.#committed(attempt, { ...next, revision: reply.revision, asOf }, false);
        if (reply.current) found = unpack(this.#key, reply.current, asOf);
      } catch (error) {
        for (const member of sent) member.trouble = error;
        if (!open && (error as { definite?: unknown } | undefined)?.definite === true) {
          for (const member of sent) member.unsend();
          if (this.#isTooLarge(error, value)) return base;
          await this.#failed(sent, error);
          return undefined;
        }
      }
      open = true;
      try {
        found ??= await this.#lookUp(sent);
        if (found === undefined) return undefined;
        const resolved = await this.#resolve(attempt, found);
        if (resolved !== undefined) return resolved.base;
      } catch (error) {
        // The record is broken, or older than its own past: it cannot say what became of the write.
        for (const member of sent) {
          member.trouble = error;
          member.lose();
        }
        throw error;
      }
    }
  }

  /** The store's limit has come to light: those who fit within it go on, the next attempt tells who does not. */
  #isTooLarge(error: unknown, value: string): boolean {
    const { code, limit } = error as { code?: unknown; limit?: unknown };
    if (code !== 'VALUE_TOO_LARGE') return false;
    this.#maxValueBytes = Math.min(typeof limit === 'number' ? limit : Number.POSITIVE_INFINITY, bytesOf(value) - 1);
    return true;
  }

  /** What stands there after a write whose outcome is unknown; undefined when nobody waits for it any more. */
  async #lookUp(sent: readonly Member[]): Promise<Base | undefined> {
    while (sent.some((member) => !member.settled)) {
      try {
        return await this.#settings.calls.read(this.#key, this.#settings.arrivals());
      } catch (error) {
        if (isStateError(error)) throw error;
        this.#charge(sent, error);
        await this.#pause(false);
      }
    }
    return undefined;
  }

  /** Decides about a write from what stands there. Undefined: nothing came of it yet, send the very same again. */
  async #resolve(attempt: Attempt, found: Base): Promise<{ base: Base | undefined } | undefined> {
    const { base, next, sent } = attempt;
    const { stats } = this.#settings;
    // A tombstone may have been purged, and the key created anew.
    if (base.json !== undefined) checkForward(this.#key, found, base.version);
    const applied = isApplied(next.writeId, base, found);
    if (applied) return { base: this.#committed(attempt, found, true) };
    if (found.revision === base.revision) {
      // The same write with the same id: whichever copy arrives, it is applied once.
      this.#charge(sent, undefined);
      await this.#pause(true);
      return sent.every((member) => member.settled) ? { base: undefined } : undefined;
    }
    stats.conflicts++;
    this.#settings.calls.saw(this.#key, found);
    for (const member of sent) {
      const { attempts } = member;
      if (applied === undefined) member.lose();
      else {
        member.unsend();
        if (member.fail()) continue;
        member.reject(new UpdateConflictError({ key: this.#key, attempts, lastVersion: found.version }));
      }
    }
    if (++this.#failures <= AT_ONCE) return { base: found };
    await this.#pause(true);
    // What was found before the wait has been overtaken.
    return { base: undefined };
  }

  #committed({ folded, next, sent }: Attempt, newest: Base, recovered: boolean): Base | undefined {
    const { stats, calls, fold } = this.#settings;
    this.#failures = 0;
    stats.commits++;
    stats.batch.record(sent.length);
    if (recovered) stats.recovered++;
    calls.saw(this.#key, newest);
    settleAll({ folded, members: [...folded.turns.keys()], contents: next, wrote: true, recovered, form: fold.form });
    return ++this.#commits % IN_A_ROW === 0 ? undefined : newest;
  }

  /** Nothing was written, for want of the store. */
  async #failed(members: readonly Member[], cause: unknown): Promise<void> {
    for (const member of members) {
      const { attempts } = member;
      if (!member.fail(cause)) member.reject(new StoreUnavailableError({ key: this.#key, attempts, cause }));
    }
    this.#failures++;
    if (this.queue.size > 0) await this.#pause(false);
  }

  /** One more try for those who were sent; who has none left cannot find out any more. */
  #charge(sent: readonly Member[], trouble: unknown): void {
    this.#failures++;
    for (const member of sent) {
      if (member.fail(trouble)) member.begin();
      else member.lose();
    }
  }

  /** @param conflict then the waits go by the time that others take: longer ones leave the store idle. */
  async #pause(conflict: boolean): Promise<void> {
    const { backoff, random, clock, calls, baseMs, maxMs } = this.#settings;
    const scale = conflict ? (calls.roundTripMs ?? baseMs) / baseMs : 1;
    const delayMs = backoff.delayMs(Math.max(1, this.#failures - (conflict ? AT_ONCE : 0)), random);
    await clock.sleep(Math.min(maxMs, scale * delayMs));
  }
}

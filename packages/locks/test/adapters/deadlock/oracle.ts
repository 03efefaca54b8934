import type { DeadlockError, LockMode } from '@chunks/locks';

/** A task or a scope, as whoever started it knows it. */
export interface Line {
  readonly outer: Line | undefined;
  readonly isScope: boolean;
  isOver: boolean;
}

/** One call of a mutex; its id is the owner it names, so that events and errors can be traced back to it. */
export interface Call {
  readonly id: string;
  readonly use: 'task' | 'lock' | 'group';
  readonly asker: Line | undefined;
  /** The task's or the group's own. */
  readonly own: Line | undefined;
  isHandedOut: boolean;
}

/** Somebody at a key; a holder is out when its lease is, a waiter when its time is up, wherever the timers are. */
export interface Party {
  readonly call: Call;
  readonly key: string;
  readonly mode: LockMode;
  readonly untilMs: number;
}

const alive = (line: Line | undefined): Line | undefined => (line?.isOver ? undefined : line);

const conflicts = (one: Party, other: Party): boolean =>
  one.key === other.key && (one.mode === 'exclusive' || other.mode === 'exclusive');

/** Whose the lock is: who keeps it until everything asked for in its name is granted. */
function ownerOf({ call }: Party): Line | undefined {
  if (call.use === 'task' || (call.use === 'group' && !call.isHandedOut)) return alive(call.own);
  return call.asker?.isScope ? alive(call.asker) : undefined;
}

/** Whether the line cannot end before the wait has. */
function isAskedFor({ call }: Party, line: Line | undefined): boolean {
  for (let at = alive(call.own ?? call.asker); at !== undefined; at = alive(at.outer)) if (at === line) return true;
  return false;
}

/** Who is in and who waits, in order, at one instant. */
export class Standing {
  readonly holders: readonly Party[];
  readonly waiters: readonly Party[];
  readonly wait: Party;

  /** @param wait who is about to be the last waiter */
  constructor(holders: readonly Party[], waiters: readonly Party[], wait: Party, nowMs: number) {
    this.holders = holders.filter(({ untilMs }) => nowMs < untilMs);
    this.waiters = [...waiters.filter(({ untilMs }) => nowMs < untilMs), wait];
    this.wait = wait;
  }

  /** Whether the wait would lead back to itself: all edges, written down, and their transitive closure. */
  leadsToItself(): boolean {
    const nodes = [...this.holders, ...this.waiters];
    const reach = nodes.map((from) => nodes.map((to) => this.hasEdge(from, to)));
    for (const [through, next] of reach.entries()) {
      for (const row of reach) if (row[through]) for (const [to, is] of next.entries()) row[to] ||= is;
    }
    const at = nodes.indexOf(this.wait);
    return reach[at]?.[at] ?? false;
  }

  hasEdge(from: Party, to: Party): boolean {
    const place = this.waiters.indexOf(from);
    if (place < 0) return this.waiters.includes(to) && isAskedFor(to, ownerOf(from));
    if (this.holders.includes(to)) return conflicts(from, to);
    return this.waiters.indexOf(to) < place && conflicts(from, to);
  }

  /** Whether the wait would never end although nobody asks for anything more and everybody finishes who can. */
  neverEnds(): boolean {
    let holders = [...this.holders];
    let waiters = [...this.waiters];
    for (let before = -1; before !== holders.length + waiters.length * 1_000; ) {
      before = holders.length + waiters.length * 1_000;
      for (const one of [...waiters]) {
        const ahead = waiters.slice(0, waiters.indexOf(one)).some(({ key }) => key === one.key);
        if (ahead || holders.some((holder) => conflicts(holder, one))) continue;
        waiters = waiters.filter((other) => other !== one);
        holders.push(one);
      }
      holders = holders.filter((holder) => {
        const owner = ownerOf(holder);
        return owner !== undefined && waiters.some((waiter) => isAskedFor(waiter, owner));
      });
    }
    return waiters.includes(this.wait);
  }

  /** What is wrong with the circle that was told; nothing, when it is one. */
  faultsOf(cycle: DeadlockError['cycle']): string[] {
    const faults: string[] = [];
    const waits = cycle.map(({ owner, wants }) =>
      this.waiters.findLast(({ call, key }) => call.id === owner && key === wants),
    );
    if (waits[0] !== this.wait) faults.push('begins with somebody else');
    for (const [i, { holds }] of cycle.entries()) {
      const [before, wait] = [waits.at(i - 1), waits[i]];
      if (before === undefined || wait === undefined) faults.push(`nobody waits in link ${i}`);
      else if (before.key !== holds) faults.push(`link ${i} holds what nobody wants`);
      else if (!this.#keeps(before, wait)) faults.push(`link ${i} is in nobody's way`);
    }
    return faults;
  }

  #keeps(before: Party, wait: Party): boolean {
    if (this.hasEdge(before, wait)) return true;
    return this.holders.some((holder) => this.hasEdge(before, holder) && this.hasEdge(holder, wait));
  }
}

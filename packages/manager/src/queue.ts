import { checkInteger, checkOneOf, type Linked, LinkedList } from '@chunks/base';
import { type PerPriority, PRIORITIES, type Priority, perPriority } from './priority.ts';

class Entry implements Linked<Entry> {
  previous: Entry | undefined = undefined;
  next: Entry | undefined = undefined;
  readonly chunk: number;
  lane: Lane;
  constructor(chunk: number, lane: Lane) {
    this.chunk = chunk;
    this.lane = lane;
  }
}

/** The chunks of one file in one class, in order of arrival; it stands in its class's ring while it has any. */
class Lane implements Linked<Lane> {
  previous: Lane | undefined = undefined;
  next: Lane | undefined = undefined;
  readonly entries: LinkedList<Entry> = new LinkedList<Entry>();
  readonly file: FileLanes;
  readonly priority: Priority;
  constructor(file: FileLanes, priority: Priority) {
    this.file = file;
    this.priority = priority;
  }
}

class FileLanes {
  readonly name: string;
  readonly entries: Map<number, Entry> = new Map();
  readonly lanes: readonly Lane[];
  constructor(name: string) {
    this.name = name;
    this.lanes = PRIORITIES.map((priority) => new Lane(this, priority));
  }
}

interface Ring {
  readonly lanes: LinkedList<Lane>;
  size: number;
}

/**
 * Which chunk comes next. Four classes; a class is served only when those above it are empty. Inside a class the files
 * take turns, one chunk each, so that a long file holds nobody up; the chunks of one file keep their order of arrival.
 * push, raise, cancel and pop are O(1), whatever the number queued.
 * @example
 * const queue = new ChunkQueue();
 * queue.push('a.mp4', 0, Priority.LOW);
 * queue.push('a.mp4', 9, Priority.LOW);
 * queue.raise('a.mp4', 9, Priority.CRITICAL);
 * queue.pop(); // { file: 'a.mp4', chunk: 9, priority: 0 }
 */
export class ChunkQueue {
  readonly #files = new Map<string, FileLanes>();
  readonly #rings: readonly Ring[] = PRIORITIES.map(() => ({ lanes: new LinkedList<Lane>(), size: 0 }));
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** How many are queued in each class. */
  get sizes(): PerPriority<number> {
    return perPriority((priority) => (this.#rings[priority] as Ring).size);
  }

  /**
   * Queues a chunk at the end of its file's part of the class.
   * @returns false, and changes nothing, when it is queued already: {@link raise} moves it.
   */
  push(file: string, chunk: number, priority: Priority): boolean {
    checkInteger('chunk', chunk, 0);
    checkOneOf('priority', priority, PRIORITIES);
    let lanes = this.#files.get(file);
    if (lanes === undefined) this.#files.set(file, (lanes = new FileLanes(file)));
    else if (lanes.entries.has(chunk)) return false;
    const entry = new Entry(chunk, lanes.lanes[priority] as Lane);
    lanes.entries.set(chunk, entry);
    this.#size++;
    this.#join(entry);
    return true;
  }

  /** Moves a queued chunk to the end of a more urgent class. @returns false when it is not queued or not below it. */
  raise(file: string, chunk: number, priority: Priority): boolean {
    checkOneOf('priority', priority, PRIORITIES);
    const entry = this.#files.get(file)?.entries.get(chunk);
    if (entry === undefined || entry.lane.priority <= priority) return false;
    this.#leave(entry);
    entry.lane = entry.lane.file.lanes[priority] as Lane;
    this.#join(entry);
    return true;
  }

  /** Takes a chunk out. @returns false when it is not queued */
  cancel(file: string, chunk: number): boolean {
    const entry = this.#files.get(file)?.entries.get(chunk);
    if (entry === undefined) return false;
    this.#leave(entry);
    this.#forget(entry);
    return true;
  }

  /**
   * Takes out the next chunk.
   * @param mayServe files for which it says false are passed over and keep their turn. @default all are served
   */
  pop(
    mayServe?: ((file: string) => boolean) | undefined,
  ): { file: string; chunk: number; priority: Priority } | undefined {
    for (const ring of this.#rings) {
      for (const lane of ring.lanes) {
        if (mayServe !== undefined && !mayServe(lane.file.name)) continue;
        const entry = lane.entries.first as Entry;
        this.#leave(entry);
        this.#forget(entry);
        // To the back of the ring: every other file of the class comes first now.
        if (lane.entries.size > 0) {
          ring.lanes.remove(lane);
          ring.lanes.push(lane);
        }
        return { file: lane.file.name, chunk: entry.chunk, priority: lane.priority };
      }
    }
    return undefined;
  }

  #join(entry: Entry): void {
    const { lane } = entry;
    const ring = this.#rings[lane.priority] as Ring;
    if (lane.entries.size === 0) ring.lanes.push(lane);
    lane.entries.push(entry);
    ring.size++;
  }

  #leave(entry: Entry): void {
    const { lane } = entry;
    const ring = this.#rings[lane.priority] as Ring;
    lane.entries.remove(entry);
    if (lane.entries.size === 0) ring.lanes.remove(lane);
    ring.size--;
  }

  #forget(entry: Entry): void {
    const { file } = entry.lane;
    file.entries.delete(entry.chunk);
    if (file.entries.size === 0) this.#files.delete(file.name);
    this.#size--;
  }
}

/** What can stand in a {@link DueHeap}: it knows its own place, so that it can leave from anywhere. */
export interface Placed {
  /** −1 when it is in none. */
  place: number;
}

/** Who is due next: a binary heap from which anything can be taken in O(log n). */
export class DueHeap<T extends Placed> {
  readonly #items: T[] = [];
  // Beside the items, because an array of doubles needs no box for each.
  readonly #dueMs: number[] = [];

  /** Infinity when empty. */
  get nextMs(): number {
    return this.#dueMs[0] ?? Number.POSITIVE_INFINITY;
  }

  add(item: T, dueMs: number): void {
    this.#settle(this.#items.length, item, dueMs);
  }

  /** Does nothing when it is not in. */
  remove(item: T): void {
    const { place } = item;
    if (place < 0) return;
    item.place = -1;
    const last = this.#items.pop() as T;
    const dueMs = this.#dueMs.pop() as number;
    if (last !== item) this.#settle(place, last, dueMs);
  }

  /** Takes out everything that is due, earliest first. */
  takeDue(nowMs: number): T[] {
    const due: T[] = [];
    // Not `nextMs`: everything is due at Infinity, but an empty heap is not.
    while ((this.#dueMs[0] as number) <= nowMs) {
      const first = this.#items[0] as T;
      this.remove(first);
      due.push(first);
    }
    return due;
  }

  /** Lets it rise or sink from a free place to where it belongs. */
  #settle(free: number, item: T, dueMs: number): void {
    const times = this.#dueMs;
    const size = times.length;
    let place = free;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if ((times[parent] as number) <= dueMs) break;
      this.#put(place, this.#items[parent] as T, times[parent] as number);
      place = parent;
    }
    for (let child = 2 * place + 1; child < size; child = 2 * place + 1) {
      if (child + 1 < size && (times[child + 1] as number) < (times[child] as number)) child++;
      if (dueMs <= (times[child] as number)) break;
      this.#put(place, this.#items[child] as T, times[child] as number);
      place = child;
    }
    this.#put(place, item, dueMs);
  }

  #put(place: number, item: T, dueMs: number): void {
    this.#items[place] = item;
    this.#dueMs[place] = dueMs;
    item.place = place;
  }
}

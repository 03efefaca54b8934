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
    return this.#dueMs.length === 0 ? Number.POSITIVE_INFINITY : (this.#dueMs[0] as number);
  }

  add(item: T, dueMs: number): void {
    this.#rise(this.#items.length, item, dueMs);
  }

  /** Does nothing when it is not in. */
  remove(item: T): void {
    const { place } = item;
    if (place < 0) return;
    item.place = -1;
    const last = this.#items.pop() as T;
    const dueMs = this.#dueMs.pop() as number;
    if (last === item) return;
    if (place > 0 && dueMs < (this.#dueMs[(place - 1) >> 1] as number)) this.#rise(place, last, dueMs);
    else this.#sink(place, last, dueMs);
  }

  /** Takes out everything that is due, earliest first. */
  takeDue(nowMs: number): T[] {
    const due: T[] = [];
    // Asked for the item, not for the time: everything is due at Infinity, but an empty heap is not.
    for (let item = this.#items[0]; item !== undefined && this.nextMs <= nowMs; item = this.#items[0]) {
      this.remove(item);
      due.push(item);
    }
    return due;
  }

  #rise(from: number, item: T, dueMs: number): void {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if ((this.#dueMs[parent] as number) <= dueMs) break;
      this.#put(place, this.#items[parent] as T, this.#dueMs[parent] as number);
      place = parent;
    }
    this.#put(place, item, dueMs);
  }

  #sink(from: number, item: T, dueMs: number): void {
    const size = this.#items.length;
    let place = from;
    for (let child = 2 * place + 1; child < size; child = 2 * place + 1) {
      if (child + 1 < size && (this.#dueMs[child + 1] as number) < (this.#dueMs[child] as number)) child++;
      if (dueMs <= (this.#dueMs[child] as number)) break;
      this.#put(place, this.#items[child] as T, this.#dueMs[child] as number);
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

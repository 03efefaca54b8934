/** What a value needs to stand in a {@link LinkedList}: the links live in the value itself. */
export interface Linked<N> {
  previous: N | undefined;
  next: N | undefined;
}

/**
 * A queue of waiters from which anyone can leave in O(1), and which allocates nothing per entry.
 * A value stands in one list at a time; whoever removes it knows that it is in.
 */
export class LinkedList<N extends Linked<N>> implements Iterable<N> {
  first: N | undefined = undefined;
  last: N | undefined = undefined;
  size = 0;

  push(node: N): void {
    node.previous = this.last;
    node.next = undefined;
    if (this.last === undefined) this.first = node;
    else this.last.next = node;
    this.last = node;
    this.size++;
  }

  remove(node: N): void {
    if (node.previous === undefined) this.first = node.next;
    else node.previous.next = node.next;
    if (node.next === undefined) this.last = node.previous;
    else node.next.previous = node.previous;
    node.previous = undefined;
    node.next = undefined;
    this.size--;
  }

  shift(): N | undefined {
    const node = this.first;
    if (node !== undefined) this.remove(node);
    return node;
  }

  /** First to last; the entry that was just given may be removed meanwhile, others may not. */
  *[Symbol.iterator](): IterableIterator<N> {
    let node = this.first;
    while (node !== undefined) {
      const next: N | undefined = node.next;
      yield node;
      node = next;
    }
  }
}

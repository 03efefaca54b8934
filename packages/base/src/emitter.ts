interface Entry {
  readonly listener: (event: never) => void;
  isOn: boolean;
}

/**
 * Typed events. Listeners run in the order in which they were added, in the emitting call itself; one that was taken
 * off is never called again, and one that is added while an event is on its way hears the next.
 * A listener that throws stops neither the others nor the emitter: its error surfaces as an uncaught one, in a
 * microtask, as the DOM's EventTarget does it, because it is a fault of the program and must show.
 */
export class Emitter<Events> {
  // The lists are replaced, never changed: emitting, the hot path, walks one without copying it.
  readonly #entries = new Map<keyof Events, readonly Entry[]>();

  /**
   * The same function added twice is two listeners.
   * @returns a function that takes the listener off again.
   */
  on<E extends keyof Events>(event: E, listener: (event: Events[E]) => void): () => void {
    const entry: Entry = { listener, isOn: true };
    this.#entries.set(event, [...this.#of(event), entry]);
    return () => {
      entry.isOn = false;
      this.#entries.set(
        event,
        this.#of(event).filter((other) => other.isOn),
      );
    };
  }

  /** Whether building the event would be of use to anybody: hot paths ask first. */
  has(event: keyof Events): boolean {
    return this.#of(event).length > 0;
  }

  emit<E extends keyof Events>(event: E, value: Events[E]): void {
    for (const entry of this.#of(event)) {
      if (!entry.isOn) continue;
      try {
        (entry.listener as (value: Events[E]) => void)(value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #of(event: keyof Events): readonly Entry[] {
    return this.#entries.get(event) ?? [];
  }
}

/** The few things this page does to the document. */

/** The element that index.html promises under this id. */
export function byId<E extends Element>(id: string, kind: abstract new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new TypeError(`index.html has no ${kind.name} with the id "${id}"`);
  return found;
}

/** Writes only what changed: screen readers and the layout stay at rest otherwise. */
export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setHidden(node: HTMLElement, hidden: boolean): void {
  if (node.hidden !== hidden) node.hidden = hidden;
}

export function setData(node: HTMLElement, name: string, value: string): void {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

/** A new element with a class, a text and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  options: { className?: string; text?: string; title?: string } = {},
  ...children: Node[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  if (options.className !== undefined) node.className = options.className;
  if (options.text !== undefined) node.textContent = options.text;
  if (options.title !== undefined) node.title = options.title;
  node.append(...children);
  return node;
}

/** Runs once in the next frame however often it was asked for, and at most every `gapMs`. */
export function throttled(gapMs: number, run: () => void): () => void {
  let asked = false;
  let last = Number.NEGATIVE_INFINITY;
  const frame = (now: number): void => {
    if (now - last < gapMs) {
      requestAnimationFrame(frame);
      return;
    }
    asked = false;
    last = now;
    run();
  };
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(frame);
  };
}

import type { VersionedStore } from '../store.ts';

/** A store that does what the inner one does, to change some of its calls: a spread would lose the methods of a class. */
export function passOn(inner: VersionedStore): VersionedStore {
  const { list, remove, watch, close } = inner;
  return {
    name: inner.name,
    capabilities: inner.capabilities,
    read: inner.read.bind(inner),
    write: inner.write.bind(inner),
    ...(remove && { remove: remove.bind(inner) }),
    ...(list && { list: list.bind(inner) }),
    ...(watch && { watch: watch.bind(inner) }),
    ...(close && { close: close.bind(inner) }),
  };
}

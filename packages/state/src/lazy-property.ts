type Lazy = Record<PropertyKey, unknown> & { [MAKE]: () => unknown };

const MAKE = Symbol('make');
// What was made for objects that can no longer take it.
const frozen = new WeakMap<object, unknown>();

// Shared by all: with accessors of its own each object would get a hidden class of its own, which holds on to all that
// its closures see until the next full garbage collection.
function accessorOf(name: string): PropertyDescriptor {
  const property = (value: unknown) => ({ value, writable: true, enumerable: true, configurable: true });
  return {
    get(this: Lazy) {
      const value = frozen.get(this) ?? this[MAKE]();
      if (!Reflect.defineProperty(this, name, property(value))) frozen.set(this, value);
      return value;
    },
    set(value: unknown) {
      Object.defineProperty(this, name, property(value));
    },
    enumerable: true,
    configurable: true,
  };
}

type Name = 'signal' | 'state';

const accessors: Record<Name, PropertyDescriptor> = { signal: accessorOf('signal'), state: accessorOf('state') };

/** Gives the object a property of its own that is made when somebody looks: most never do. */
export function lazily<T extends object, N extends Name, V>(target: T, name: N, make: () => V): T & Record<N, V> {
  Object.defineProperty(target, MAKE, { value: make });
  return Object.defineProperty(target, name, accessors[name]) as T & Record<N, V>;
}

import { expect, test } from 'vitest';
import { lazily } from '../src/lazy-property.ts';

test('made once, when somebody looks; a property like any other before and after', () => {
  let made = 0;
  const make = () => lazily({ version: 1 }, 'state', () => ({ made: ++made }));
  const [one, two, three] = [make(), make(), make()];
  expect([Object.keys(one), made]).toEqual([['version', 'state'], 0]);
  expect(one.state).toBe(one.state);
  expect([one, { ...two }, JSON.stringify(three)]).toEqual([
    { version: 1, state: { made: 1 } },
    { version: 1, state: { made: 2 } },
    '{"version":1,"state":{"made":3}}',
  ]);
  const four = make();
  four.state = { made: 99 };
  expect([four.state, made]).toEqual([{ made: 99 }, 3]);
});

test('a frozen object has it too, made once, and cannot be given another', () => {
  let made = 0;
  const frozen = Object.freeze(lazily({ version: 1 }, 'state', () => ({ made: ++made })));
  expect(frozen.state).toEqual({ made: 1 });
  expect(frozen.state).toBe(frozen.state);
  expect(() => {
    (frozen as { state: unknown }).state = 2;
  }).toThrow(TypeError);
  expect(made).toBe(1);
});

test('two kinds do not mix', () => {
  const signal = lazily({}, 'signal', () => 'a signal');
  const state = lazily({}, 'state', () => 'a state');
  expect([signal, state]).toEqual([{ signal: 'a signal' }, { state: 'a state' }]);
});

test('accessors are shared: each object’s own would be kept alive by its hidden class', () => {
  const getter = () =>
    Object.getOwnPropertyDescriptor(
      lazily({}, 'state', () => 1),
      'state',
    )?.get;
  expect(getter()).toBeTypeOf('function');
  expect(getter()).toBe(getter());
});

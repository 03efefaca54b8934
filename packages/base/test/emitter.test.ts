import { Emitter } from '@chunks/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';

interface Events {
  tick: number;
  note: string;
}

test('listeners hear their own event, in the order in which they came, until they are taken off', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('on' as const), event: fc.constantFrom('tick', 'note') }),
    fc.record({ kind: fc.constant('off' as const), which: fc.nat(20) }),
    fc.record({ kind: fc.constant('emit' as const), event: fc.constantFrom('tick', 'note') }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const emitter = new Emitter<Record<string, number>>();
      const heard: number[] = [];
      const model: { id: number; event: string; off: () => void }[] = [];
      let ids = 0;
      for (const step of steps) {
        if (step.kind === 'on') {
          const id = ids++;
          model.push({ id, event: step.event, off: emitter.on(step.event, () => heard.push(id)) });
        } else if (step.kind === 'off') {
          const [gone] = model.splice(step.which, 1);
          gone?.off();
          // The second time is nothing.
          gone?.off();
        } else {
          heard.length = 0;
          emitter.emit(step.event, 1);
          expect(heard).toEqual(model.filter(({ event }) => event === step.event).map(({ id }) => id));
        }
        for (const event of ['tick', 'note']) {
          expect(emitter.has(event)).toBe(model.some((listener) => listener.event === event));
        }
      }
    }),
  );
});

test('the same function added twice is called twice, and each end takes off one', () => {
  const emitter = new Emitter<Events>();
  let calls = 0;
  const listener = (): void => void calls++;
  const off = emitter.on('tick', listener);
  emitter.on('tick', listener);
  emitter.emit('tick', 1);
  expect(calls).toBe(2);
  off();
  off();
  emitter.emit('tick', 2);
  expect(calls).toBe(3);
});

test('changes while an event is on its way: who left is not called, who came hears the next', () => {
  const emitter = new Emitter<Events>();
  const heard: string[] = [];
  emitter.on('tick', (n) => {
    heard.push(`first ${n}`);
    leave();
    if (n === 1) emitter.on('tick', (later) => heard.push(`third ${later}`));
  });
  const leave = emitter.on('tick', (n) => heard.push(`second ${n}`));
  emitter.emit('tick', 1);
  emitter.emit('tick', 2);
  expect(heard).toEqual(['first 1', 'first 2', 'third 2']);
});

test('a listener that throws stops nobody, and its error surfaces by itself', () => {
  const emitter = new Emitter<Events>();
  const fault = new Error('listener');
  const heard: string[] = [];
  emitter.on('note', () => {
    throw fault;
  });
  emitter.on('note', (text) => heard.push(text));
  const queued: (() => void)[] = [];
  const original = globalThis.queueMicrotask;
  globalThis.queueMicrotask = (callback) => void queued.push(callback);
  try {
    emitter.emit('note', 'a');
  } finally {
    globalThis.queueMicrotask = original;
  }
  expect(heard).toEqual(['a']);
  expect(queued).toHaveLength(1);
  expect(queued[0]).toThrow(fault);
});

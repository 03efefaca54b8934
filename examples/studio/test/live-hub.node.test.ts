import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { LiveHub, type LiveSource } from '../src/live/hub.ts';
import type { FileView, LiveDelta, LiveSnapshot, Panels } from '../src/protocol.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

interface Message {
  readonly event: string;
  readonly data: LiveSnapshot & LiveDelta;
  readonly atMs: number;
}

/** A source whose one panel number and whose files a test changes. */
class Source implements LiveSource {
  readonly files = new Map<string, number>();
  requests = 0;
  fileIds = (): string[] => [...this.files.keys()];
  file = (id: string): FileView | undefined => {
    const assembledBytes = this.files.get(id);
    return assembledBytes === undefined ? undefined : ({ id, assembledBytes } as FileView);
  };
  batch = async (): Promise<never> => ({ version: 1, files: [] }) as never;
  panels = (): Panels => ({ origin: { requests: this.requests } }) as Panels;
}

const hubOver = (source: Source): LiveHub =>
  new LiveHub({
    source,
    onError: (error) => {
      throw error;
    },
  });

const parse = (bytes: Uint8Array): Message => {
  const [event = '', data = ''] = new TextDecoder().decode(bytes).split('\n');
  return { event: event.slice(7), data: JSON.parse(data.slice(6)), atMs: performance.now() };
};

/** Takes every message as soon as it is there. */
function listen(stream: ReadableStream<Uint8Array>): { messages: Message[]; ended: Promise<void> } {
  const messages: Message[] = [];
  const take = async (): Promise<void> => {
    for await (const bytes of stream) if (bytes[0] !== 0x3a) messages.push(parse(bytes));
  };
  return { messages, ended: take() };
}

test('changes at every millisecond: at most ten messages in any second, the last one tells the last state', async () => {
  const source = new Source();
  source.files.set('a', 0);
  const hub = hubOver(source);
  const { messages } = listen(hub.connect());
  for (let ms = 1; ms <= 3_000; ms++) {
    source.files.set('a', ms);
    hub.fileChanged('a');
    await vi.advanceTimersByTimeAsync(1);
  }
  await vi.advanceTimersByTimeAsync(200);
  expect(messages[0]?.event).toBe('snapshot');
  for (const { atMs } of messages) {
    const within = messages.filter((other) => other.atMs >= atMs && other.atMs < atMs + 1_000);
    expect(within.length).toBeLessThanOrEqual(10);
  }
  expect(messages.length).toBeGreaterThan(20);
  expect(messages.at(-1)?.data.files).toEqual([{ id: 'a', assembledBytes: 3_000 }]);
});

test('nothing changed: nothing is sent', async () => {
  const source = new Source();
  source.files.set('a', 1);
  const hub = hubOver(source);
  const { messages } = listen(hub.connect());
  for (let second = 0; second < 10; second++) {
    // Said to have changed, and has not.
    hub.fileChanged('a');
    await vi.advanceTimersByTimeAsync(1_000);
  }
  expect(messages.map((message) => message.event)).toEqual(['snapshot']);
});

test('a slow client has one message waiting, whatever happens, and then hears the latest of everything', async () => {
  const source = new Source();
  source.files.set('a', 0);
  source.files.set('gone', 0);
  const hub = hubOver(source);
  const reader = hub.connect().getReader();
  expect(parse((await reader.read()).value as Uint8Array).event).toBe('snapshot');
  await vi.advanceTimersByTimeAsync(200);
  for (let step = 1; step <= 100; step++) {
    source.files.set('a', step);
    hub.fileChanged('a');
    source.requests = step;
    if (step === 50) {
      source.files.delete('gone');
      hub.fileChanged('gone');
    }
    await vi.advanceTimersByTimeAsync(150);
  }
  const waiting = parse((await reader.read()).value as Uint8Array);
  expect(waiting.data.files).toEqual([{ id: 'a', assembledBytes: 1 }]);
  const next = reader.read();
  await vi.advanceTimersByTimeAsync(200);
  const latest = parse((await next).value as Uint8Array);
  expect(latest.data).toMatchObject({
    files: [{ id: 'a', assembledBytes: 100 }],
    removed: ['gone'],
    panels: { origin: { requests: 100 } },
  });
  // That was all: nothing else had been kept for it.
  let more = false;
  void reader.read().then(() => (more = true));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(more).toBe(false);
});

test('a client that takes nothing for half a minute is let go, and the timer stops with the last one', async () => {
  const source = new Source();
  const hub = hubOver(source);
  const stuck = hub.connect();
  for (let second = 0; second < 40; second++) {
    source.requests++;
    await vi.advanceTimersByTimeAsync(1_000);
  }
  expect(hub.clients).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
  await stuck.cancel();
});

test('the hub closes: streams end', async () => {
  const hub = hubOver(new Source());
  const first = listen(hub.connect());
  const second = listen(hub.connect());
  await vi.advanceTimersByTimeAsync(100);
  hub.close();
  await Promise.all([first.ended, second.ended]);
  expect(hub.clients).toBe(0);
});

test('a client that leaves is forgotten; one too many is told to come later', async () => {
  const hub = new LiveHub({ source: new Source(), maxClients: 2, onError: () => undefined });
  const first = hub.connect();
  hub.connect();
  expect(() => hub.connect()).toThrow(/listening/);
  await first.cancel();
  expect(hub.clients).toBe(1);
  hub.connect();
});

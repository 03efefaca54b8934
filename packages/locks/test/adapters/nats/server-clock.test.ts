import { VirtualClock } from '@chunks/base/testing';
import { expect, test } from 'vitest';
import { ServerClock } from '../../../src/adapters/nats/server-clock.ts';
import { FakeBucket } from '../../support/fake-kv.ts';

function bench() {
  const [here, there] = [new VirtualClock(1_000_000), new VirtualClock(9_000_000)];
  const calls: string[] = [];
  const bucket = new FakeBucket(there);
  const kv = bucket.open((call) => {
    calls.push(call);
    return 'none';
  });
  return { here, there, calls, serverClock: new ServerClock(kv, here) };
}

test("reads the server's clock, whatever our own says", async () => {
  const { here, there, serverClock } = bench();
  expect(await serverClock.read()).toBe(9_000_000);
  await there.advance(5_000);
  here.jump(-100_000);
  expect(await serverClock.read()).toBe(9_005_000);
});

test('guesses without asking, for a minute, until our clock is set back', async () => {
  const { here, calls, serverClock } = bench();
  expect(serverClock.guess()).toBe(undefined);
  await serverClock.read();
  const asked = calls.length;
  await here.advance(60_000);
  expect(serverClock.guess()).toBe(9_060_000);
  await here.advance(1);
  expect(serverClock.guess()).toBe(undefined);
  await serverClock.read();
  here.jump(-1);
  expect(serverClock.guess()).toBe(undefined);
  expect(calls.length).toBe(2 * asked);
});

test('a guess is early by what the probe took, and never late', async () => {
  const [here, there] = [new VirtualClock(1_000_000), new VirtualClock(9_000_000)];
  const bucket = new FakeBucket(there);
  const turn = async (): Promise<void> => {
    for (const clock of [here, there]) clock.jump(10);
  };
  const serverClock = new ServerClock(bucket.open(undefined, turn), here);
  expect(await serverClock.read()).toBe(9_000_010);
  expect(there.now()).toBe(9_000_040);
  expect(serverClock.guess()).toBe(9_000_050);
});

test('many who ask at once share one question, and the next ones ask again', async () => {
  const { there, calls, serverClock } = bench();
  expect(await Promise.all([serverClock.read(), serverClock.read(), serverClock.read()])).toEqual(
    Array(3).fill(9_000_000),
  );
  expect(calls).toEqual(['put', 'get']);
  await there.advance(1);
  expect(await serverClock.read()).toBe(9_000_001);
});

test('rejects when the server does not answer, or has nothing, and asks again next time', async () => {
  const clock = new VirtualClock();
  let fault: 'not sent' | 'stale read' | 'none' = 'not sent';
  const serverClock = new ServerClock(
    new FakeBucket(clock).open(() => fault),
    clock,
  );
  await expect(serverClock.read()).rejects.toThrow('not sent');
  fault = 'stale read';
  await expect(serverClock.read()).rejects.toThrow('does not have what was just written');
  expect(serverClock.guess()).toBe(undefined);
  fault = 'none';
  expect(await serverClock.read()).toBe(clock.now());
});

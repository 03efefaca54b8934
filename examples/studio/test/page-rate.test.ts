import { expect, test } from 'vitest';
import { RateMeter } from '../page/upload/rate.ts';

test('a steady stream has its rate, after half a second', () => {
  const meter = new RateMeter();
  meter.add(0, 0);
  meter.add(400, 400);
  expect(meter.bytesPerSecond()).toBeUndefined();
  meter.add(1000, 1000);
  expect(meter.bytesPerSecond()).toBe(1000);
});

test('what is longer ago than the window counts no more', () => {
  const meter = new RateMeter(2000);
  for (let second = 0; second <= 10; second += 1) meter.add(second * 1000, second * 100);
  for (let second = 11; second <= 14; second += 1) meter.add(second * 1000, 1000 + (second - 10) * 5000);
  expect(meter.bytesPerSecond()).toBe(5000);
});

test('a total that falls starts anew', () => {
  const meter = new RateMeter();
  meter.add(0, 5000);
  meter.add(1000, 9000);
  meter.add(1100, 100);
  expect(meter.bytesPerSecond()).toBeUndefined();
  meter.add(2100, 1100);
  expect(meter.bytesPerSecond()).toBe(1000);
});

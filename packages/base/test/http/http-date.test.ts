import { formatHttpDate, parseHttpDate } from '@chunks/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { wholeSecondsMs } from '../../src/http/http-date.ts';

const NOW = Date.UTC(2026, 5, 15);
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

const parts = (ms: number): { day: string; name: string; month: string; year: string; time: string } => {
  const [date = '', time = ''] = new Date(ms).toISOString().slice(0, 19).split('T');
  const [year = '', month = '', day = ''] = date.split('-');
  const name = DAYS[new Date(ms).getUTCDay()] as string;
  return { day, name, month: MONTHS[Number(month) - 1] as string, year, time };
};
const imf = (ms: number): string => {
  const { day, name, month, year, time } = parts(ms);
  return `${name.slice(0, 3)}, ${day} ${month} ${year} ${time} GMT`;
};
const rfc850 = (ms: number): string => {
  const { day, name, month, year, time } = parts(ms);
  return `${name}, ${day}-${month}-${year.slice(2)} ${time} GMT`;
};
const asctime = (ms: number): string => {
  const { day, name, month, year, time } = parts(ms);
  return `${name.slice(0, 3)} ${month} ${day.replace(/^0/, ' ')} ${time} ${year}`;
};

const seconds = (from: number, to: number): fc.Arbitrary<number> =>
  fc.integer({ min: from / 1000, max: to / 1000 }).map((s) => s * 1000);
const year0 = new Date(0).setUTCFullYear(0, 0, 1);

test('every second of ten thousand years is read in both long forms, and written in the first', () => {
  fc.assert(
    fc.property(seconds(wholeSecondsMs(year0), Date.UTC(9999, 11, 31)), (ms) => {
      expect(parseHttpDate(imf(ms), NOW)).toBe(ms);
      expect(parseHttpDate(asctime(ms), NOW)).toBe(ms);
      expect(formatHttpDate(ms)).toBe(imf(ms));
    }),
  );
});

test('two digits mean the year of this century that is not more than fifty years ahead, else the last', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2000, max: 2099 }), fc.nat(99), seconds(0, 3e10), (thisYear, shortYear, within) => {
      const nowMs = Date.UTC(thisYear, 6, 1);
      const thisCentury = thisYear - (thisYear % 100) + shortYear;
      const at = (year: number): number => Date.UTC(year, 0, 1) + within;
      const isFar = at(thisCentury) > Date.UTC(thisYear + 50, 6, 1);
      const wanted = at(isFar ? thisCentury - 100 : thisCentury);
      // A leap day that shifts the day of the year is of no interest here.
      fc.pre(new Date(wanted).getUTCFullYear() % 100 === shortYear);
      expect(parseHttpDate(rfc850(wanted), nowMs)).toBe(wanted);
    }),
  );
  expect(parseHttpDate('Sunday, 06-Nov-94 08:49:37 GMT', NOW)).toBe(Date.UTC(1994, 10, 6, 8, 49, 37));
  expect(parseHttpDate('Monday, 15-Jun-76 00:00:00 GMT', NOW)).toBe(Date.UTC(2076, 5, 15));
  expect(parseHttpDate('Tuesday, 15-Jun-76 00:00:01 GMT', NOW)).toBe(Date.UTC(1976, 5, 15, 0, 0, 1));
});

test.each([
  '',
  'yesterday',
  '0',
  '1994-11-06T08:49:37Z',
  'Sun, 06 Nov 1994 08:49:37',
  'Sun, 06 Nov 1994 08:49:37 UTC',
  'Sun, 06 Nov 1994 08:49:37 +0000',
  'Sun, 6 Nov 1994 08:49:37 GMT',
  'sun, 06 nov 1994 08:49:37 gmt',
  'Sun, 06 Nov 94 08:49:37 GMT',
  'Sun, 06-Nov-1994 08:49:37 GMT',
  'Xyz, 06 Nov 1994 08:49:37 GMT',
  'Sun, 06 Nov 1994 24:00:00 GMT',
  'Sun, 06 Nov 1994 08:60:00 GMT',
  'Sun, 06 Nov 1994 08:49:61 GMT',
  'Sun, 00 Nov 1994 08:49:37 GMT',
  'Sun, 31 Nov 1994 08:49:37 GMT',
  'Sun, 29 Feb 2023 08:49:37 GMT',
  'Wednesday, 29-Feb-23 08:49:37 GMT',
  'Sun, 06 Nov 1994 08:49:37 GMT, Mon, 07 Nov 1994 08:49:37 GMT',
])('%j is no date', (text) => {
  expect(parseHttpDate(text, NOW)).toBeUndefined();
});

test('a leap second is the next second, a leap day a day', () => {
  expect(parseHttpDate('Sat, 31 Dec 2016 23:59:60 GMT', NOW)).toBe(Date.UTC(2017, 0, 1));
  expect(parseHttpDate('Thu, 29 Feb 2024 00:00:00 GMT', NOW)).toBe(Date.UTC(2024, 1, 29));
});

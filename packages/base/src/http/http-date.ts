const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

const SHORT_DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
const LONG_DAY = '(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)';
const MONTH = `(?<month>${MONTHS.join('|')})`;
const TIME = '(?<hour>\\d\\d):(?<minute>\\d\\d):(?<second>\\d\\d)';

// The form that is sent, and the two older ones that a recipient must understand as well (RFC 9110, 5.6.7).
const FORMS = [
  new RegExp(`^${SHORT_DAY}, (?<day>\\d\\d) ${MONTH} (?<year>\\d{4}) ${TIME} GMT$`),
  new RegExp(`^${LONG_DAY}, (?<day>\\d\\d)-${MONTH}-(?<shortYear>\\d\\d) ${TIME} GMT$`),
  new RegExp(`^${SHORT_DAY} ${MONTH} (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})$`),
];

/**
 * The instant that an HTTP date names, in ms since the epoch; undefined for anything else. The name of the weekday is
 * not compared with the day.
 *
 * @param nowMs decides the century of the form with a two-digit year.
 */
export function parseHttpDate(text: string, nowMs: number): number | undefined {
  const groups = FORMS.map((form) => form.exec(text)?.groups).find((found) => found !== undefined);
  if (groups === undefined) return undefined;
  const part = (name: string): number => Number(groups[name]);
  // 60 is a leap second, which the clocks here do not have: it falls on the first second of the next minute.
  if (part('hour') > 23 || part('minute') > 59 || part('second') > 60) return undefined;
  const month = MONTHS.indexOf(groups['month'] as string);
  const instant = (year: number): number | undefined => {
    const date = new Date(0);
    // Not Date.UTC: that takes the years 0 to 99 for 1900 to 1999.
    date.setUTCFullYear(year, month, part('day'));
    if (date.getUTCMonth() !== month || date.getUTCDate() !== part('day')) return undefined;
    return date.setUTCHours(part('hour'), part('minute'), part('second'));
  };
  return groups['year'] === undefined ? nearCentury(part('shortYear'), nowMs, instant) : instant(part('year'));
}

/** More than fifty years ahead means the century before. */
function nearCentury(
  shortYear: number,
  nowMs: number,
  instant: (year: number) => number | undefined,
): number | undefined {
  const now = new Date(nowMs);
  const thisYear = now.getUTCFullYear();
  const year = thisYear - (thisYear % 100) + shortYear;
  const latestMs = now.setUTCFullYear(thisYear + 50);
  return (instant(year) ?? Number.POSITIVE_INFINITY) > latestMs ? instant(year - 100) : instant(year);
}

/** To the second, cut off: what `Last-Modified` can say. */
export const wholeSecondsMs = (ms: number): number => Math.floor(ms / 1000) * 1000;

/** In the one form that may be sent. */
export const formatHttpDate = (ms: number): string => new Date(ms).toUTCString();

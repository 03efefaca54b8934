/** With each of these UTF-16 units as `\u` and four hex digits. The backslash must be one of them, for two texts to stay two. */
export const escapedUnits = (text: string, units: RegExp): string =>
  text.replace(units, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Without half a sign at its end: where the other half follows, neither is written by itself. */
export const withoutHalf = (prefix: string): string => prefix.replace(/[\ud800-\udbff]$/, '');

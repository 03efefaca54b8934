/** How urgently a chunk is wanted: smaller is sooner. */
export const Priority: { readonly CRITICAL: 0; readonly HIGH: 1; readonly MEDIUM: 2; readonly LOW: 3 } = {
  /** A reader has nothing to go on with. */
  CRITICAL: 0,
  /** The next few chunks of a reader, or the first seconds behind a playhead. */
  HIGH: 1,
  /** Asked for beforehand. */
  MEDIUM: 2,
  /** Filled in when nothing else is wanted. */
  LOW: 3,
};
export type Priority = (typeof Priority)[keyof typeof Priority];

/** The class names, most urgent first: `PRIORITY_NAMES[Priority.HIGH]` is `'HIGH'`. */
export const PRIORITY_NAMES = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'] as const;

export const PRIORITIES: readonly Priority[] = [0, 1, 2, 3];

/** One value for each class, by name. */
export type PerPriority<T> = Record<keyof typeof Priority, T>;

export function perPriority<T>(of: (priority: Priority) => T): PerPriority<T> {
  return { CRITICAL: of(0), HIGH: of(1), MEDIUM: of(2), LOW: of(3) };
}

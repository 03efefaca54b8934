/** What one updater writes down in one round. */
export const nameOf = (process: string, updater: number, round: number): string => `${process}-${updater}-${round}`;

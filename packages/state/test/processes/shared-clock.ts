/** In ms, the same in all processes of this machine. */
export const sharedNow = (): number => Number(process.hrtime.bigint()) / 1e6;

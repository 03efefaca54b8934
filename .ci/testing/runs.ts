// By their members: neither is everywhere.
const host = globalThis as {
  process?: { env?: Record<string, string | undefined> };
  navigator?: { userAgent?: string };
};

/** Whether the long form of each suite is asked for. */
export const isSoak: boolean = host.process?.env?.['CHUNKS_SOAK'] === '1';

/**
 * How many random programs a property tries. What they find they find on Node; in a Worker fewer of them show that the
 * same happens there.
 */
export function runs(usual: number): number {
  if (host.navigator?.userAgent === 'Cloudflare-Workers') return Math.ceil(usual / 5);
  return isSoak ? 20 * usual : usual;
}

/**
 * Where the store's own clock counts, a machine that holds its breath for longer than a lease loses that lease, and
 * rightly so. A case that fails for it is tried again; one that fails for another reason fails three times.
 */
export const onRealTime = { retry: 2 } as const;

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

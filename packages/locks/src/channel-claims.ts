// By connection, then by channel: how many listen there.
const claims = new WeakMap<object, Map<string, number>>();

/**
 * Two drivers may listen to one channel on one connection, and the first that stops must not end it for the other.
 * @returns what gives the claim up, once: whether it was the last, so that the channel may be ended
 */
export function claimChannel(connection: object, channel: string): () => boolean {
  const counts = claims.get(connection) ?? new Map<string, number>();
  claims.set(connection, counts);
  counts.set(channel, (counts.get(channel) ?? 0) + 1);
  let isClaimed = true;
  return () => {
    if (!isClaimed) return false;
    isClaimed = false;
    const left = (counts.get(channel) ?? 0) - 1;
    if (left > 0) counts.set(channel, left);
    else counts.delete(channel);
    return left === 0;
  };
}

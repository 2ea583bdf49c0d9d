/**
 * How long to wait before attempt `attempt` (from 0), in milliseconds: doubling from a quarter of a second to 15 seconds, of which a random half is
 * taken off, so that the clients of a server that restarts do not all come back in the same moment.
 */
export function retryDelay(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(15_000, 250 * 2 ** Math.min(attempt, 10));
  return Math.round(full * (1 - random() / 2));
}

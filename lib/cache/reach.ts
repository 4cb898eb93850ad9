import type { AbsentMember, WriteReach } from '../farm/transport.ts'

/** Makes writes that are for all members, and says who was away, before them or after. */
export async function reachOf(
  absent: () => readonly AbsentMember[],
  writes: () => readonly Promise<boolean>[],
): Promise<WriteReach> {
  const before = absent()
  const reached = await Promise.all(writes())
  const missing = new Map<string, AbsentMember>()
  // One that came back meanwhile gets it, but has not said so.
  for (const member of [...before, ...absent()])
    missing.set(`${member.id} ${member.address}`, member)
  const reachable = reached.every(yes => yes)
  return {
    everywhere: reachable && missing.size === 0,
    reachable,
    missing: [...missing.values()],
  }
}

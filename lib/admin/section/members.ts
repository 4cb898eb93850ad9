import type { AbsentMember, Member } from '../../farm/transport.ts'
import { type Family, gauge, samplesOf } from './family.ts'

/** Whom a member knows. All processes of a host know the same. */
export interface Known {
  members(): readonly Member[]
  absent(): readonly AbsentMember[]
}

export function memberFamilies({ members, absent }: ReturnType<typeof whoIs>): Family[] {
  const states: { [state in Member['state']]?: number } = {}
  for (const { state } of members) states[state] = (states[state] ?? 0) + 1
  return [
    gauge(
      'handfast_members',
      'Members of the farm that this one knows of, by state, itself included',
      samplesOf('state', { ...states }),
    ),
    gauge(
      'handfast_members_absent',
      'Members that are configured or were there, and that nothing reaches now',
      [{ value: absent.length }],
    ),
    gauge(
      'handfast_member_absent_seconds',
      'How long the member that is away longest has been away',
      [{ value: Math.max(0, ...absent.map(({ away }) => away)) / 1_000 }],
    ),
  ]
}

export function whoIs(known: Known): {
  readonly members: readonly Member[]
  readonly absent: readonly AbsentMember[]
} {
  return { members: known.members(), absent: known.absent() }
}

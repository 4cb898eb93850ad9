import { gauge, samplesOf } from './family.ts'
import type { Section } from './section.ts'

/** Revocations that still end something, by what they name; whom, nobody is told here. */
export type RevocationCounts = Readonly<Record<string, number>>

export function revocationsSection(
  read: () => RevocationCounts,
): Section<RevocationCounts> {
  return {
    name: 'revocations',
    read,
    // All processes know all of them.
    merge: (_all, own) => own,
    families: counts => [
      gauge(
        'handfast_revocations',
        'Revocations in force, by what they name',
        samplesOf('kind', counts),
      ),
    ],
  }
}

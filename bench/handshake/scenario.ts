import { type IdentityName, identityNames } from '../certificates/identity.ts'
import { type Mode, modes } from '../systems/system.ts'

/**
 * `full`: nothing is offered. `resume-same`: a session is offered to the proxy that gave it.
 * `resume-cross`: to another one. `chain`: browsers that use each TLS 1.3 ticket once visit
 * random proxies, and live on what resumed connections give them.
 */
export const visits = ['full', 'resume-same', 'resume-cross', 'chain'] as const
export type VisitKind = (typeof visits)[number]

export interface Scenario {
  readonly visit: VisitKind
  readonly mode: Mode
  readonly identity: IdentityName
}

/** `resume-cross-1.3-p256-stateful`. */
export function scenarioName({ visit, mode, identity }: Scenario): string {
  const [version, kind] = mode.split('-')
  return `${visit}-${version}-${identity}-${kind}`
}

/** Every combination of these, in the order of the lists. */
export function scenarios(of: {
  readonly visits: readonly VisitKind[]
  readonly modes: readonly Mode[]
  readonly identities: readonly IdentityName[]
}): Scenario[] {
  return of.identities.flatMap(identity =>
    of.modes.flatMap(mode => of.visits.map(visit => ({ visit, mode, identity }))),
  )
}

export function allScenarios(): Scenario[] {
  return scenarios({ visits, modes, identities: identityNames })
}

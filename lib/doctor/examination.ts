import type { ChainResult } from './chain.ts'
import type { Failure } from './client.ts'
import type { KindName } from './kind.ts'
import type { KindResult } from './matrix.ts'
import type { OtherNameCell } from './other-name.ts'
import type { KeyEvidence } from './ticket-keys.ts'

/** All that was seen. Printed as JSON as it stands: it holds no session, ticket or secret. */
export interface Examination {
  /** Of this shape; fields may be added without a new one. */
  readonly version: 1
  /** ISO 8601. */
  readonly at: string
  /** Name that was asked for; empty without one. */
  readonly serverName: string
  readonly addresses: readonly AddressResult[]
  readonly kinds: readonly KindResult[]
  readonly chain: ChainResult | undefined
  readonly otherName:
    | { readonly name: string; readonly cells: OtherNameCell[] }
    | undefined
  readonly ticketKeys: KeyEvidence
  /** Connections made. */
  readonly handshakes: number
}

export interface AddressResult {
  readonly address: string
  readonly failure: Failure | undefined
  readonly code: string
  readonly protocol: string
  /** Status line of the answer to a HEAD request. */
  readonly http: string | undefined
  /** Why the certificate is not trusted. */
  readonly untrusted: string | undefined
}

export interface Finding {
  readonly level: 'good' | 'note' | 'bad'
  /** Stable, for scripts. */
  readonly code: FindingCode
  readonly kind?: KindName
  readonly text: string
  /** What to change. */
  readonly advice?: string
}

export type FindingCode =
  | 'unreachable'
  | 'one-address'
  | 'resumes'
  | 'not-made'
  | 'made-by-some'
  | 'not-at-home'
  | 'not-across'
  | 'breaks'
  | 'chain'
  | 'renewal'
  | 'keys-shared'
  | 'keys-differ'
  | 'keys-unknown'
  | 'keys-old'
  | 'stateful'
  | 'lifetime'
  | 'other-name'
  | 'no-http'
  | 'untrusted'

export interface Diagnosis {
  /** `ok`: what should resume does. `unreachable` comes before `broken`. */
  readonly verdict: 'ok' | 'broken' | 'unreachable'
  readonly findings: readonly Finding[]
}

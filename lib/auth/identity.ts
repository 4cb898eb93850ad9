/** How somebody proved who they are. Numbers are stored in records: never reuse one. */
export const methodNumbers = {
  basic: 1,
  bearer: 2,
  certificate: 3,
  forward: 4,
  form: 5,
} as const

export type MethodName = keyof typeof methodNumbers

export type ClaimValue =
  | string
  | number
  | boolean
  | null
  | readonly ClaimValue[]
  | { readonly [name: string]: ClaimValue }

export type Claims = { readonly [name: string]: ClaimValue }

/** Who the user is. Never holds what they proved it with. */
export interface Identity {
  readonly subject: string
  readonly claims: Claims
  readonly method: MethodName
  /**
   * Wall time in milliseconds of the proof: the log-in; for a bearer token its issue, for a
   * client certificate the full handshake. A revocation voids what was proved before it.
   */
  readonly at: number
  /** Wall time in milliseconds at which the user must prove it again. */
  readonly expiresAt: number
}

export const maxSubjectBytes = 1_024
/** Claims travel to every member with each log-in: keep them small. */
export const maxClaimsBytes = 8_192

/** A subject goes into headers and logs, so it has no control characters. */
export function isSubject(subject: unknown): subject is string {
  return (
    typeof subject === 'string' &&
    subject.length > 0 &&
    Buffer.byteLength(subject) <= maxSubjectBytes &&
    // Half a surrogate pair would come back from the record as another character.
    Buffer.from(subject).toString() === subject &&
    !/\p{Cc}/u.test(subject)
  )
}

/** What a method found out, before the farm's own limits are put on it. */
export interface Proof {
  readonly subject: string
  readonly claims?: Claims | undefined
  /** Default: now. */
  readonly at?: number | undefined
  /** The proof itself runs out then, in wall milliseconds. */
  readonly expiresAt?: number | undefined
  /** What it was proved against, see {@link Basis}. Default: nothing that could change. */
  readonly basis?: Basis | undefined
}

/**
 * 16 bytes that stand for what somebody was proved against: the stored hash of a password, the
 * key of a token. A log-in is remembered with it, and is void once it is another.
 */
export type Basis = Buffer

export const basisLength = 16
/** Of what can't tell whether it has changed: a callback. */
export const noBasis: Basis = Buffer.alloc(basisLength)

/** Makes a basis of texts and bytes; keyed, for it may stand for a secret. */
export type MakeBasis = (...parts: (string | Buffer)[]) => Basis

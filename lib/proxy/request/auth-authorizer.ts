import type { Auth } from '../../auth/auth.ts'
import { identityHeaders, plainName } from '../../auth/identity-headers.ts'
import type { AuthRequest } from '../../auth/request/request.ts'
import type { Authorization, Authorizer } from '../options.ts'

/** Lets in whom an Auth knows, and tells the backend who that is. */
export class AuthAuthorizer implements Authorizer {
  readonly ownFields: ReadonlySet<string>
  readonly #auth: Auth
  readonly #sign: string | undefined
  #judging = 0
  #retired = false

  /** `sign`: key of the signature over what the backend is told. */
  constructor(auth: Auth, sign?: string) {
    this.#auth = auth
    this.ownFields = new Set(auth.ownFields.map(plainName))
    this.#sign = sign
  }

  async authorize(request: AuthRequest): Promise<Authorization> {
    this.#judging++
    try {
      const decision = await this.#auth.authenticate(request)
      if (decision.outcome === 'answered') return decision
      if (decision.outcome === 'anonymous') {
        return { outcome: 'allowed', user: undefined, fields: [] }
      }
      const { identity } = decision
      const headers = identityHeaders(identity, { sign: this.#sign })
      const fields = Object.entries(headers).flat()
      return { outcome: 'allowed', user: identity.subject, fields }
    } finally {
      this.#judging--
      this.#retireWhenIdle()
    }
  }

  /** Retires the Auth once the requests that it judges now are judged. */
  retire(): void {
    this.#retired = true
    this.#retireWhenIdle()
  }

  #retireWhenIdle(): void {
    if (this.#retired && this.#judging === 0) void this.#auth.retire()
  }
}

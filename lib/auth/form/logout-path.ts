import type { AuthCounters } from '../auth-counters.ts'
import { type Answer, answer } from '../decision.ts'
import type { ConnectionState } from '../login/connection-state.ts'
import type { Logout } from '../login/logout.ts'
import { fromOwnSite } from '../request/own-site.ts'
import { type AuthRequest, pathOf } from '../request/request.ts'

export interface LogoutPathOptions {
  readonly path: string
  readonly logout: Logout
  readonly counters: AuthCounters
  /** What the client gets once it is logged out. */
  readonly bye: () => Answer
}

/** The path where a POST logs out, whatever the method of the log-in. */
export class LogoutPath {
  readonly #options: LogoutPathOptions

  constructor(options: LogoutPathOptions) {
    this.#options = options
  }

  /** The answer when the request is for this path. */
  async handle(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<Answer | undefined> {
    const { path, logout, counters, bye } = this.#options
    if (pathOf(request) !== path) return undefined
    // Never by GET: a link or an image on any page would log the user out.
    if (request.method !== 'POST') return answer(405, '', { allow: 'POST' })
    if (!fromOwnSite(request, noOrigins)) {
      return answer(403, 'This came from a page of another site.\n')
    }
    counters.countLogout(await logout.end(request, state))
    return bye()
  }
}

const noOrigins: ReadonlySet<string> = new Set()

import type { AuthCounters } from '../auth-counters.ts'
import { type Answer, answer } from '../decision.ts'
import type { ConnectionState } from '../login/connection-state.ts'
import type { LoginCheck } from '../login/login-check.ts'
import type { LoginTerms } from '../login/login-terms.ts'
import type { Remembered } from '../login/remembered.ts'
import type { PasswordCheck } from '../method/password.ts'
import { fromOwnSite } from '../request/own-site.ts'
import { type AuthRequest, pathOf } from '../request/request.ts'
import type { LoginForm } from './login-form.ts'

export interface FormLoginOptions {
  readonly path: string
  readonly form: LoginForm
  readonly passwords: PasswordCheck
  readonly check: LoginCheck
  readonly terms: LoginTerms
  readonly remembered: Remembered
  readonly counters: AuthCounters
  /** Set-Cookie that makes the client forget its log-in. */
  readonly clearCookie: string
}

/** Log-in by a form: the form itself, and what becomes of it. */
export class FormLogin {
  readonly #options: FormLoginOptions

  constructor(options: FormLoginOptions) {
    this.#options = options
  }

  get clearCookie(): string {
    return this.#options.clearCookie
  }

  /** The answer when the request is for the form. */
  async handle(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<Answer | undefined> {
    if (pathOf(request) !== this.#options.path) return undefined
    if (request.method === 'POST') return this.#login(request, state)
    if (this.#isRead(request)) return this.#show(request)
    return answer(405, '', { allow: 'GET, HEAD, POST' })
  }

  /** After a log-out. */
  bye(): Answer {
    const { path, clearCookie } = this.#options
    return answer(303, '', { location: path, 'set-cookie': clearCookie })
  }

  /** Sends a person to the form, and back to where they wanted to go. */
  redirect(request: AuthRequest): Answer {
    const to = encodeURIComponent(request.url)
    return answer(303, '', { location: `${this.#options.path}?to=${to}` })
  }

  #isRead(request: AuthRequest): boolean {
    return request.method === 'GET' || request.method === 'HEAD'
  }

  #show(request: AuthRequest): Answer {
    const query = request.url.slice(this.#options.path.length + 1)
    const to = new URLSearchParams(query).get('to') ?? '/'
    return this.#options.form.show(request, to)
  }

  async #login(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<Answer> {
    const { form, passwords, check, terms, remembered, counters } = this.#options
    if (!fromOwnSite(request, noOrigins)) {
      return answer(403, 'This came from a page of another site.\n')
    }
    const posted = await form.read(request)
    if ('status' in posted) return posted
    const { user, password, to } = posted
    const how = { guess: { user } }
    const outcome = await check.run('form', request, how, async asker =>
      user === '' || password === ''
        ? { kind: 'refused', guess: false }
        : passwords.verify(user, password, request, asker),
    )
    if (outcome.kind === 'answered') return outcome.answer
    // Not bound to the lineage: the cookie outlives it.
    const login =
      outcome.kind === 'proved'
        ? terms.loginOf(outcome.proof, 'form', undefined)
        : undefined
    if (login === undefined) {
      if (outcome.kind === 'proved') counters.countLogin('form', 'void')
      const page = form.show(request, to, { status: 401, failed: true })
      // A scheme that no browser knows: a 401 must name one, and none may open its own dialog.
      return { ...page, headers: { ...page.headers, 'www-authenticate': 'Form' } }
    }
    counters.countLogin('form', 'proved', login.identity.subject)
    const cookie = await remembered.rememberForm(login, request, state)
    return answer(303, '', { location: to, 'set-cookie': cookie })
  }
}

const noOrigins: ReadonlySet<string> = new Set()

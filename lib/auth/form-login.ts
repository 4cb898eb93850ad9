import type { ConnectionState } from './connection-state.ts'
import type { LoginCheck } from './login-check.ts'
import type { LoginForm } from './login-form.ts'
import type { Memory } from './memory.ts'
import type { PasswordCheck } from './password.ts'
import { type Answer, type AuthRequest, answer, fromOwnSite, pathOf } from './request.ts'

export interface FormLoginOptions {
  readonly path: string
  readonly logoutPath: string
  readonly form: LoginForm
  readonly passwords: PasswordCheck
  readonly check: LoginCheck
  readonly memory: Memory
  /** Set-Cookie that makes the client forget its log-in. */
  readonly clearCookie: string
}

/** The two paths of form log-in: the form itself, and the log-out. */
export class FormLogin {
  readonly #options: FormLoginOptions

  constructor(options: FormLoginOptions) {
    this.#options = options
  }

  get clearCookie(): string {
    return this.#options.clearCookie
  }

  /** The answer when the request is for one of the two paths. */
  async handle(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<Answer | undefined> {
    const { path, logoutPath } = this.#options
    const asked = pathOf(request)
    if (asked === path) {
      if (request.method === 'POST') return this.#login(request, state)
      return this.#isRead(request) ? this.#show(request) : notAllowed('GET, HEAD, POST')
    }
    if (asked !== logoutPath) return undefined
    // Never by GET: a link or an image on any page would log the user out.
    return request.method === 'POST' ? this.#logout(request, state) : notAllowed('POST')
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
    const { form, passwords, check, memory } = this.#options
    if (!fromOwnSite(request, noOrigins)) return foreign()
    const posted = await form.read(request)
    if ('status' in posted) return posted
    const { user, password, to } = posted
    const outcome = await check.run('form', request, { user }, async () =>
      user === '' || password === ''
        ? { kind: 'refused', guess: false }
        : passwords.verify(user, password, request),
    )
    if (outcome.kind === 'answered') return outcome.answer
    // Not bound to the lineage: the cookie outlives it.
    const identity =
      outcome.kind === 'proved'
        ? memory.identityOf(outcome.proof, 'form', undefined)
        : undefined
    if (identity === undefined) {
      const page = form.show(request, to, { status: 401, failed: true })
      // A scheme that no browser knows: a 401 must name one, and none may open its own dialog.
      return { ...page, headers: { ...page.headers, 'www-authenticate': 'Form' } }
    }
    const cookie = await memory.rememberForm(identity, request, state)
    return answer(303, '', { location: to, 'set-cookie': cookie })
  }

  async #logout(
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Promise<Answer> {
    const { memory, path, clearCookie } = this.#options
    if (!fromOwnSite(request, noOrigins)) return foreign()
    await memory.forget(request, state)
    return answer(303, '', { location: path, 'set-cookie': clearCookie })
  }
}

const noOrigins: ReadonlySet<string> = new Set()

function foreign(): Answer {
  return answer(403, 'This came from a page of another site.\n')
}

function notAllowed(allow: string): Answer {
  return answer(405, '', { allow })
}

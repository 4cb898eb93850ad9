import { createHmac } from 'node:crypto'
import { answer, unauthorized } from '../decision.ts'
import type { ForwardAuth } from '../method/forward-auth.ts'
import type { CredentialMethod } from '../method/method.ts'
import type { Methods } from '../method/methods.ts'
import { type AuthRequest, headerOf } from '../request/request.ts'
import type { LoginCheck } from './login-check.ts'
import type { Shown } from './shown-login.ts'

export interface ShowingContext {
  readonly methods: Methods
  readonly check: LoginCheck
  /** Equal on all members: what one has checked the others know again. */
  readonly printKey: Buffer
}

/** What a request shows of its user, its print, and how it would be checked. */
export class Showing {
  readonly #context: ShowingContext

  constructor(context: ShowingContext) {
    this.#context = context
  }

  /** Credentials of one of our methods. */
  credentials(
    request: AuthRequest,
    method: CredentialMethod,
    credentials: string,
  ): Shown {
    const { check, methods } = this.#context
    const user = method.userOf(credentials)
    return {
      request,
      method: method.name,
      print: this.#printOf(method, credentials),
      guessOf: user,
      askAgain: method.name === 'basic' ? methods.challenge : undefined,
      refuse: () => unauthorized([method.challenge('not accepted')]),
      verify: async waiters => {
        const how = { guess: { user }, waiters }
        const outcome = await check.run(method.name, request, how, asker =>
          method.verify(credentials, request, asker),
        )
        if (outcome.kind === 'answered') return outcome.answer
        if (outcome.kind === 'proved') return outcome.proof
        return unauthorized([method.challenge(outcome.reason)])
      },
    }
  }

  /** All that another server would be told of the request. */
  question(request: AuthRequest, forward: ForwardAuth): Shown {
    const { check } = this.#context
    // Without credentials nothing is guessed, and nothing counts.
    const guess = request.headers.authorization === undefined ? undefined : {}
    return {
      request,
      method: 'forward',
      print: this.#print(`forward\0${forward.questionOf(request)}`),
      ttl: forward.ttl,
      refuse: () => answer(403, 'The log-in was not accepted.\n'),
      verify: async waiters => {
        const how = { guess, waiters }
        const outcome = await check.run('forward', request, how, asker =>
          forward.ask(request, asker),
        )
        if (outcome.kind === 'proved') return outcome.proof
        return outcome.kind === 'answered' ? outcome.answer : unauthorized([])
      },
    }
  }

  /** Of the credentials that one of our methods would check; undefined when there are none. */
  printOf(request: AuthRequest): Buffer | undefined {
    const given = this.#context.methods.read(headerOf(request, 'authorization'))
    return given?.method && this.#printOf(given.method, given.credentials)
  }

  #printOf({ name }: CredentialMethod, credentials: string): Buffer {
    return this.#print(`${name}\0${credentials}`)
  }

  #print(text: string): Buffer {
    return createHmac('sha256', this.#context.printKey).update(text).digest()
  }
}

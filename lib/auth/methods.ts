import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import { basicMethod } from './basic.ts'
import { Bcrypt } from './bcrypt.ts'
import { bearerMethod } from './bearer.ts'
import type { CertificateOptions } from './certificate.ts'
import { ForwardAuth } from './forward-auth.ts'
import { Htpasswd } from './htpasswd.ts'
import type { MethodName } from './identity.ts'
import type { CredentialMethod } from './method.ts'
import { type AuthOptions, configError, type PasswordSource } from './options.ts'
import { checkByCallback, checkByHtpasswd, type PasswordCheck } from './password.ts'

/** The ways to log in that the options name, ready for use. */
export interface Methods {
  /** By Authorization header. */
  readonly credentials: readonly CredentialMethod[]
  readonly certificate: CertificateOptions | undefined
  readonly forward: ForwardAuth | undefined
  /** Passwords of the log-in form. */
  readonly form: PasswordCheck | undefined
  /** Whether a log-in by this method still stands: the method is in use, the user exists. */
  stands(method: MethodName, subject: string): boolean
  close(): Promise<void>
}

export function createMethods(
  options: AuthOptions,
  context: {
    readonly realm: string
    readonly clock: Clock
    readonly log: Log
    /** Log-ins that are checked at a time, at most. */
    readonly maxChecks?: number
  },
): Methods {
  const { clock, log, realm, maxChecks } = context
  const bcrypt = new Bcrypt(clock, maxChecks === undefined ? {} : { most: maxChecks })
  const passwords = (name: string, source: PasswordSource): PasswordCheck => {
    const { verify, htpasswd } = source as { verify?: unknown; htpasswd?: unknown }
    if (typeof verify === 'function' && htpasswd === undefined) {
      return checkByCallback(verify as NonNullable<PasswordSource['verify']>, context)
    }
    if (typeof htpasswd === 'string' && verify === undefined) {
      return checkByHtpasswd(new Htpasswd(htpasswd, { bcrypt, clock, log }))
    }
    throw configError(`${name} must have either verify, a function, or htpasswd, a path`)
  }
  const { basic, bearer, certificate, forward, form } = options
  const basicSource = typeof basic === 'function' ? { verify: basic } : basic
  const credentials: CredentialMethod[] = []
  if (basicSource) credentials.push(basicMethod(passwords('basic', basicSource), realm))
  if (bearer) credentials.push(bearerMethod(bearer, context))
  const formCheck = form && passwords('form', form)
  const forwardAuth = forward && new ForwardAuth(forward, context)
  return {
    credentials,
    certificate: certificate === true ? {} : certificate,
    forward: forwardAuth,
    form: formCheck,
    stands(method, subject) {
      if (method === 'certificate') return certificate !== undefined
      if (method === 'forward') return forwardAuth !== undefined
      if (method === 'form') return formCheck?.knows(subject) === true
      return credentials.some(one => one.name === method && one.knows(subject))
    },
    async close() {
      forwardAuth?.close()
      await bcrypt.close()
    },
  }
}

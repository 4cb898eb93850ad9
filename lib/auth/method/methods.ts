import type { Clock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { type Answer, answer, unauthorized } from '../decision.ts'
import type { Basis, MakeBasis, MethodName } from '../identity.ts'
import { type AuthOptions, configError, type PasswordSource } from '../options.ts'
import { basicMethod } from './basic.ts'
import { Bcrypt } from './bcrypt.ts'
import { bearerMethod } from './bearer.ts'
import { type CertificateOptions, certificateBasis } from './certificate.ts'
import { ForwardAuth } from './forward-auth.ts'
import { Htpasswd } from './htpasswd.ts'
import { type CredentialMethod, readAuthorization } from './method.ts'
import { checkByCallback, checkByHtpasswd, type PasswordCheck } from './password.ts'

/** The ways to log in that the options name, ready for use. */
export interface Methods {
  /** By Authorization header. */
  readonly credentials: readonly CredentialMethod[]
  readonly certificate: CertificateOptions | undefined
  readonly forward: ForwardAuth | undefined
  /** Passwords of the log-in form. */
  readonly form: PasswordCheck | undefined
  /** What an Authorization header holds for one of these methods, or for none. */
  read(header: string | undefined): Credentials | undefined
  /** What a request of nobody is answered. */
  challenge(): Answer
  /** Of a certificate that is proved now. */
  readonly certificateBasis: Basis
  /**
   * Whether a log-in by this method still stands: the method is in use, the user exists, and
   * what they were proved against is as it was.
   */
  stands(method: MethodName, subject: string, basis: Basis): boolean
  /** There is something to look at from time to time. */
  readonly canChange: boolean
  /** Calls back when somebody may not be let in any more who was. */
  onChange(listener: () => void): void
  /** Looks for changes where it is time for that. */
  look(): void
  /** Likewise before a request is judged, in files only: others take long. Never rejects. */
  refresh(): Promise<void> | undefined
  close(): Promise<void>
}

export interface Credentials {
  /** Lower case. */
  readonly scheme: string
  readonly credentials: string
  /** Undefined when no method here takes them. */
  readonly method: CredentialMethod | undefined
}

export interface MethodsContext {
  readonly realm: string
  readonly clock: Clock
  /** See AuthContext. */
  readonly wall?: () => number
  readonly log: Log
  readonly makeBasis: MakeBasis
  /** Log-ins that are checked at a time, at most. */
  readonly maxChecks?: number
}

export function createMethods(options: AuthOptions, context: MethodsContext): Methods {
  const { clock, log, realm, maxChecks, makeBasis } = context
  const files: Htpasswd[] = []
  const bcrypt = new Bcrypt(clock, maxChecks === undefined ? {} : { most: maxChecks })
  const passwords = (name: string, source: PasswordSource): PasswordCheck => {
    const { verify, htpasswd } = source as { verify?: unknown; htpasswd?: unknown }
    if (typeof verify === 'function' && htpasswd === undefined) {
      return checkByCallback(verify as NonNullable<PasswordSource['verify']>, context)
    }
    if (typeof htpasswd === 'string' && verify === undefined) {
      const file = new Htpasswd(htpasswd, { bcrypt, clock, log, makeBasis })
      files.push(file)
      return checkByHtpasswd(file)
    }
    throw configError(`${name} must have either verify, a function, or htpasswd, a path`)
  }
  const { basic, bearer, certificate, forward, form } = options
  const basicSource = typeof basic === 'function' ? { verify: basic } : basic
  const credentials: CredentialMethod[] = []
  if (basicSource) credentials.push(basicMethod(passwords('basic', basicSource), realm))
  const tokens = bearer && bearerMethod(bearer, context)
  if (tokens) credentials.push(tokens)
  const formCheck = form && passwords('form', form)
  const forwardAuth =
    forward && new ForwardAuth(forward, { ...context, address: options.address })
  const byCertificate = certificate === true ? {} : certificate
  const ofCertificate = certificateBasis(byCertificate, makeBasis)
  return {
    credentials,
    read(header) {
      const given = readAuthorization(header)
      const method = credentials.find(one => one.scheme === given?.scheme)
      return given && { ...given, method }
    },
    challenge() {
      const challenges = credentials.map(method => method.challenge())
      if (formCheck !== undefined) challenges.push('Form')
      if (challenges.length > 0) return unauthorized(challenges)
      return answer(403, 'A client certificate is needed.\n')
    },
    certificate: byCertificate,
    certificateBasis: ofCertificate,
    forward: forwardAuth,
    form: formCheck,
    stands(method, subject, basis) {
      if (method === 'certificate') {
        return byCertificate !== undefined && ofCertificate.equals(basis)
      }
      if (method === 'forward') return forwardAuth?.basis.equals(basis) === true
      if (method === 'form') return formCheck?.stands(subject, basis) === true
      return credentials.some(one => one.name === method && one.stands(subject, basis))
    },
    canChange: files.length > 0 || tokens?.keys.onChange !== undefined,
    onChange(listener) {
      for (const file of files) file.onChange(listener)
      tokens?.keys.onChange?.(listener)
    },
    look() {
      for (const file of files) void file.refresh()
      tokens?.keys.names()
    },
    refresh() {
      // Most often there is none, or it is too early: then nobody need wait.
      const looks = files.flatMap(file => file.refresh() ?? [])
      return looks.length === 0 ? undefined : Promise.all(looks).then(() => {})
    },
    async close() {
      forwardAuth?.close()
      await bcrypt.close()
    },
  }
}

import { createHmac, randomBytes } from 'node:crypto'
import { LimitCounters } from '../limit/limit-counters.ts'
import { Shares } from '../limit/shares.ts'
import type { Log } from '../log.ts'
import { checkOptions } from '../options/check-options.ts'
import { Admissions } from './admissions.ts'
import { type AuthContext, deriveKey } from './auth-context.ts'
import { AuthCounters } from './auth-counters.ts'
import { answer } from './decision.ts'
import { FormLogin } from './form/form-login.ts'
import { LoginForm } from './form/login-form.ts'
import { LogoutPath } from './form/logout-path.ts'
import { Identification } from './identification.ts'
import { basisLength, type MakeBasis } from './identity.ts'
import { Attempts } from './login/attempts.ts'
import { ConnectionStates } from './login/connection-state.ts'
import { LoginCheck } from './login/login-check.ts'
import { LoginCookie } from './login/login-cookie.ts'
import { LoginTerms } from './login/login-terms.ts'
import { Logins } from './login/logins.ts'
import { Logout } from './login/logout.ts'
import { Remembered } from './login/remembered.ts'
import { Showing } from './login/showing.ts'
import { ShownLogins } from './login/shown-login.ts'
import { createMethods, type Methods } from './method/methods.ts'
import { type IsRevoked, OpenExchanges } from './open-exchanges.ts'
import { authRules } from './option-rules.ts'
import { type AuthOptions, authSettings, formSettings, logoutPathOf } from './options.ts'
import { type AuthRequest, cameThroughProxy } from './request/request.ts'

/** What an Auth does its work with. */
export interface AuthParts {
  readonly identification: Identification
  readonly admissions: Admissions
  readonly remembered: Remembered
  readonly logout: Logout
  readonly methods: Methods
  readonly states: ConnectionStates
  readonly form: FormLogin | undefined
  readonly counters: AuthCounters
  readonly log: Log
  readonly isRevoked: IsRevoked
  readonly onClose: (() => void) | undefined
}

/** Makes and wires them. Throws ERR_HANDFAST_CONFIG for a bad option. */
export function authParts(options: AuthOptions, context: AuthContext): AuthParts {
  checkOptions('auth', options, authRules)
  const settings = authSettings(options)
  const { clock, cache, log, lineageTimeout, onClose, random = randomBytes } = context
  const { counters = new AuthCounters() } = context
  const { limitCounters = new LimitCounters(clock, log) } = context
  const { exchanges = new OpenExchanges(), isRevoked = () => false } = context
  const { wall = () => clock.now() } = context
  const key = (purpose: string) => deriveKey(context.key, settings.realm, purpose)
  const basisKey = key('basis')
  const makeBasis: MakeBasis = (...parts) => {
    const mac = createHmac('sha256', basisKey)
    for (const part of parts) mac.update(`${part.length}:`).update(part)
    return mac.digest().subarray(0, basisLength)
  }
  const methods = createMethods(options, { ...settings, clock, wall, log, makeBasis })
  const macKey = key('record')
  const logins = new Logins({ cache, clock, macKey, exchanges, ...settings })
  const states = new ConnectionStates(logins)
  const paths = options.form && formSettings(options.form)
  const cookie = paths && new LoginCookie(paths.cookie, key('cookie'))
  const path = logoutPathOf(options)
  const sessionsTell = settings.rememberBy === 'tls-session'
  const isShared = options.shared ?? cameThroughProxy
  const bySession = (request: AuthRequest) => sessionsTell && !isShared(request)
  const { ttl, maxChecks, clientShare } = settings
  const { stands } = methods
  const terms = new LoginTerms({ clock, ttl, lineageTimeout, stands, isRevoked })
  const remembered = new Remembered({
    logins,
    terms,
    clock,
    random,
    cookie,
    bySession,
    sessionsTell,
  })
  const check = new LoginCheck({
    attempts: new Attempts(options.attempts ?? {}, {
      cache,
      clock,
      key: key('attempts'),
      slot: random(1).readUInt8(),
    }),
    log,
    counters,
    limitCounters,
    shares: new Shares({ most: maxChecks, share: clientShare / 100 }),
    address: options.address,
  })
  const showing = new Showing({ methods, check, printKey: key('print') })
  const shownLogins = new ShownLogins({
    ...{ terms, remembered, check, counters, log, bySession },
    now: () => clock.now(),
  })
  const printOf = (request: AuthRequest) => showing.printOf(request)
  const logout = new Logout({ logins, remembered, clock, bySession, printOf })
  const { form: passwords } = methods
  const form =
    options.form && paths && cookie && passwords
      ? new FormLogin({
          ...{ ...paths, passwords, check, terms, remembered, counters },
          form: new LoginForm({
            path: paths.path,
            realm: settings.realm,
            macKey: key('form'),
            clock,
            random,
            page: options.form.page,
          }),
          clearCookie: cookie.clear(),
        })
      : undefined
  const bye = () => form?.bye() ?? answer(200, 'Logged out.\n')
  const logoutPath =
    path === undefined ? undefined : new LogoutPath({ path, logout, counters, bye })
  return {
    identification: new Identification({
      ...{ settings, methods, states, terms, remembered, showing, shownLogins },
      ...{ form, logoutPath, counters },
    }),
    admissions: new Admissions({
      ...{ exchanges, methods, states, remembered, clock, printOf, bySession },
    }),
    ...{ remembered, logout, methods, states, form, counters, log, isRevoked, onClose },
  }
}

import {
  aFunction,
  aMapping,
  anyOf,
  anything,
  aSecret,
  aSwitch,
  aText,
  type OptionRule,
  type OptionRules,
  texts,
} from '../options/check-options.ts'
import type { AttemptLimits } from './login/attempts.ts'
import type { BearerOptions } from './method/bearer.ts'
import type { CertificateOptions } from './method/certificate.ts'
import type { ForwardAuthOptions } from './method/forward-auth.ts'
import type { AuthOptions, FormOptions, PasswordSource } from './options.ts'

const yes: OptionRule = { expected: 'true', accepts: value => value === true }
const aUrl: OptionRule = {
  expected: 'an http or https URL',
  accepts: value => value instanceof URL || URL.canParse(String(value)),
}

const passwords: OptionRules<PasswordSource> = { verify: aFunction, htpasswd: aText }

const bearer: OptionRules<BearerOptions> = {
  jwks: aUrl,
  key: aSecret,
  secret: aSecret,
  issuer: anyOf(aText, texts),
  audience: anyOf(aText, texts),
  algorithms: texts,
  clockTolerance: anything,
  subject: aText,
  claims: texts,
}

const certificate: OptionRules<CertificateOptions> = { subject: anyOf(aText, aFunction) }

const forward: OptionRules<ForwardAuthOptions> = {
  url: aUrl,
  subjectHeader: aText,
  claimHeaders: {
    expected: 'claims to fields',
    accepts: value => Object(value) === value,
  },
  requestHeaders: texts,
  timeout: anything,
  ca: aSecret,
  remember: aSwitch,
  ttl: anything,
}

const form: OptionRules<FormOptions> = {
  ...passwords,
  path: aText,
  logoutPath: aText,
  page: aFunction,
  cookie: aText,
}

const attempts: OptionRules<AttemptLimits> = {
  perUser: anything,
  perAddress: anything,
  window: anything,
}

/** Numbers are judged where they are used. */
export const authRules: OptionRules<AuthOptions> = {
  realm: aText,
  required: aSwitch,
  ttl: anything,
  basic: anyOf(aFunction, aMapping(passwords)),
  bearer: aMapping(bearer),
  certificate: anyOf(yes, aMapping(certificate)),
  forward: aMapping(forward),
  form: aMapping(form),
  logoutPath: aText,
  attempts: aMapping(attempts),
  trustedOrigins: texts,
  maxChecks: anything,
  clientShare: anything,
  address: aFunction,
  rememberBy: anything,
  shared: aFunction,
  lookupBudget: anything,
  writeBudget: anything,
}

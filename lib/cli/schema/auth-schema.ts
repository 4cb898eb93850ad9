import type { AuthConfig } from './config-file.ts'
import { count, duration, file, oneOf, text, url, yesNo } from './kinds.ts'
import { mapping, needed, neededSome, option, type Schema, some } from './option.ts'

const bearer = mapping('JSON web tokens that an issuer has signed', {
  issuer: needed(text, 'who has made the tokens that are taken'),
  audience: needed(text, 'for whom the tokens are that are taken'),
  algorithms: neededSome(text, 'signature algorithms that are taken, such as RS256'),
  jwks: option(url, "where the issuer's keys are; this or key"),
  key: option(file, "PEM, the issuer's public key; this or jwks"),
  subject: option(text, 'claim that names the user', { usual: 'sub' }),
  claims: some(text, 'claims that are kept', {
    otherwise: 'iss, scope, email, name, groups, roles',
  }),
})

const forward = mapping('another server is asked who the user is', {
  url: needed(url, 'asked with GET: 2xx lets in, 401 and 403 are passed on'),
  subjectHeader: option(text, 'field of its answer that names the user', {
    usual: 'X-Forwarded-User',
  }),
  requestHeaders: some(text, 'fields of the request that it is sent', {
    otherwise: 'authorization, cookie, accept, accept-language, user-agent',
  }),
  timeout: option(duration, 'longest wait for its whole answer', { usual: '5s' }),
  ca: option(file, 'PEM, authorities of an https URL', { otherwise: 'those of Node' }),
  remember: option(yesNo, 'whether a yes holds for the same question', { usual: true }),
  ttl: option(duration, 'how long it holds', { usual: '5m' }),
})

const form = mapping('a log-in page', {
  htpasswd: needed(file, 'its users: file with bcrypt hashes (htpasswd -B)'),
  path: option(text, 'where the page is', { usual: '/login' }),
  logoutPath: option(text, 'a POST to it logs out', { usual: '/logout' }),
  cookie: option(text, 'name of its cookie, which begins with __Host-', {
    usual: '__Host-handfast',
  }),
})

const attempts = mapping('limits of failed log-ins, farm-wide; beyond them 429', {
  perUser: option(count, 'of one user from one address', { usual: 10 }),
  perAddress: option(count, 'from one address, whoever they name', { usual: 100 }),
  window: option(duration, 'how long they count', { usual: '5m' }),
})

/** Who gets in: the only mapping of which at least one of five must be given. */
export const auth: Schema<AuthConfig> = mapping(
  'who gets in; at least one of basic, bearer, certificate, forward, form',
  {
    basic: mapping('passwords, sent with each request', {
      htpasswd: needed(
        file,
        'file with bcrypt hashes (htpasswd -B), read again when it changes; who has another ' +
          'hash then is logged out',
      ),
    }).optional(),
    bearer: bearer.optional(),
    certificate: option(
      oneOf(['cn', 'email', 'uri', 'dns']),
      'what in the client certificate names the user',
    ),
    forward: forward.optional(),
    form: form.optional(),
    required: option(
      yesNo,
      'whether one must be logged in; else whoever is not gets in as nobody',
      { usual: true },
    ),
    ttl: option(duration, 'longest log-in', { usual: '8h' }),
    realm: option(text, 'sites of one realm share their users', {
      otherwise: "the site's first name",
    }),
    sign: option(yesNo, 'sign what the backend is told of the user', { usual: false }),
    logoutPath: option(text, 'a POST to it logs out, whatever the method', {
      otherwise: '/logout with a form, else nowhere',
    }),
    trustedOrigins: some(
      text,
      'other sites whose pages may use a log-in, or a Basic password that the browser keeps',
      { otherwise: 'none' },
    ),
    rememberBy: option(
      oneOf(['credentials', 'tls-session']),
      'tls-session: the TLS session alone tells the user, not behind a gateway',
      { usual: 'credentials' },
    ),
    attempts: attempts.optional(),
    maxChecks: option(
      count,
      "log-ins that are checked at a time, forward-auth's questions included; beyond it 503",
      { usual: 320 },
    ),
  },
)

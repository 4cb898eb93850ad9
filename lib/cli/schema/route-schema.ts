import { targetRules } from '../../dispatch/options.ts'
import { priorities } from '../../dispatch/queue/urgency.ts'
import { balances } from '../../dispatch/selection/create-selection.ts'
import type { HeaderChanges, QueueClass } from '../../proxy/options.ts'
import { proxyVersions } from '../../proxy-protocol/header.ts'
import { auth } from './auth-schema.ts'
import type { HandlingConfig, RouteConfig } from './config-file.ts'
import { health, hedging, resumeResponses, retries } from './failover-schema.ts'
import {
  affinityBy,
  backend,
  cookieName,
  duration,
  file,
  hashBy,
  oneOf,
  placeHosts,
  placePrefix,
  redirectStatus,
  redirectTarget,
  text,
  urlName,
  wholeNumber,
  yesNo,
} from './kinds.ts'
import { routeLimits } from './limits-schema.ts'
import { numbersOf } from './numbers.ts'
import {
  either,
  mapping,
  mappings,
  needed,
  option,
  type Schema,
  some,
  someOfEither,
  texts,
} from './option.ts'

const target = mapping('more of a backend', {
  url: needed(backend, 'http:// or https:// and host'),
  name: option(urlName, 'what URLs call it where affinity is by path or host', {
    otherwise: 'made of its address and the farm secret',
  }),
  ...numbersOf(targetRules, {
    weight: 'its part beside the others',
    priority: 'those of a higher number are asked when none of a lower one is ready',
    maxRequests: {
      about: 'open requests to it, beyond it 503',
      otherwise: 'limits.maxBackendRequests',
    },
  }),
  resolve: option(
    oneOf(['addresses', 'srv']),
    'each address of the host name is a backend, or each target of its SRV records; asked again ' +
      'when their time to live is over, within 1 s to 60 s, or every 10 s',
    { otherwise: 'the name is one backend' },
  ),
  backup: option(yesNo, 'asked only when none of the others is ready', { usual: false }),
})

const affinity = either(
  affinityBy,
  mapping('whether a client that comes again goes to the same backend', {
    by: needed(affinityBy, 'by what it is known again'),
    cookie: option(cookieName, 'name of the cookie', {
      otherwise: '__Host-handfast-backend, with more behind it in a route',
    }),
    ttl: option(duration, 'a client that does not come for so long is forgotten', {
      usual: '8h',
    }),
    prefix: option(placePrefix, 'of path: what stands before the name of a backend', {
      usual: '/backend-',
    }),
    hosts: option(
      placeHosts,
      'of host: the star stands for the name of a backend; among the names of the site',
    ),
  }),
)
const oneOfPriorities = oneOf(priorities)
const aboutPriority =
  'high before normal before low; every sixteenth turn is for those below'
const someTurns = wholeNumber(1, 100)
const aboutWeight = 'turns beside others of the same priority'

const rank = {
  priority: option(oneOfPriorities, aboutPriority, { usual: 'normal' }),
  weight: option(someTurns, aboutWeight, { usual: 1 }),
}
const inheritedRank = {
  priority: option(oneOfPriorities, aboutPriority, { otherwise: 'that of `queue`' }),
  weight: option(someTurns, aboutWeight, { otherwise: 'that of `queue`' }),
}

const queueClass: Schema<QueueClass> = mapping('what is not said is as in `queue`', {
  users: some(text, 'names that the log-in has found', { otherwise: 'anybody' }),
  headers: texts(text, 'values of fields by name, to the letter; * for any'),
  ...inheritedRank,
})

function headerChanges(about: string): Schema<HeaderChanges> {
  return mapping(about, {
    set: texts(text, 'fields in place of those that are there'),
    remove: some(text, 'fields that are dropped'),
  })
}

/** Where requests go and on what terms: of a site, and of each of its routes. */
export const handling: {
  [name in keyof HandlingConfig]-?: Schema<HandlingConfig[name]>
} = {
  backends: someOfEither(
    backend,
    target,
    'http:// or https:// and host, or a mapping that says more; one that failed is passed over ' +
      'for 2 s',
  ),
  balance: option(oneOf(balances), 'which of them a request goes to', {
    usual: 'round-robin',
  }),
  hashBy: option(
    hashBy,
    'what balance: hash goes by; without it they are taken in turn',
    {
      usual: 'address',
    },
  ),
  slowStart: option(
    duration,
    'a backend that is new or back gets its part bit by bit in',
    {
      usual: 0,
    },
  ),
  backendCa: option(file, 'PEM, authorities of https backends', {
    otherwise: 'those of Node',
  }),
  backendCert: option(file, 'PEM, leaf first, shown to https backends that ask for one', {
    otherwise: 'none',
  }),
  backendKey: option(file, 'PEM, its key, without a passphrase'),
  backendProtocol: option(
    oneOf(['http1', 'http2']),
    'what backends are spoken to in; gRPC needs http2, which is chosen by ALPN for https and ' +
      'spoken from the start for http',
    { usual: 'http1' },
  ),
  backendProxyProtocol: option(
    oneOf(proxyVersions),
    'each connection to a backend begins with a header of the PROXY protocol that names the ' +
      'client, and serves no other; not with http2',
    { otherwise: 'none' },
  ),
  limits: routeLimits.optional(),
  retries,
  hedging,
  health,
  resumeResponses,
  affinity: affinity.optional(),
  stripPath: option(
    text,
    'taken off the path for the backend; Location, Link and paths of cookies get it back',
  ),
  addPath: option(text, 'put before the path for the backend'),
  requestHeaders: headerChanges('of the request to the backend').optional(),
  responseHeaders: headerChanges('of the response of the backend').optional(),
  class: option(
    oneOf(['secure', 'plain']),
    'secure: what belongs together goes to one backend, by the TLS session unless affinity says ' +
      'otherwise; plain: each request for itself, whatever the affinity of the site',
    { otherwise: 'as affinity says' },
  ),
  concurrency: option(
    oneOf(['fixed', 'adaptive']),
    'fixed: maxBackendRequests at a time; adaptive: as many as its latency bears, up to that',
    { usual: 'fixed' },
  ),
  queue: mapping('who goes first where requests wait for a backend', {
    ...rank,
    classes: mappings(
      'requests that stand otherwise; the first that fits',
      queueClass,
    ).optional(),
  }).optional(),
}

export const route: Schema<RouteConfig> = mapping(
  'takes from its site what it does not say itself',
  {
    path: option(text, 'this path and all below it; with * at the end, what begins so'),
    exact: option(text, 'this very path'),
    methods: some(text, 'any of them; GET stands for HEAD as well', { otherwise: 'all' }),
    headers: texts(text, 'values of fields by name, to the letter; * for any'),
    redirect: either(
      redirectTarget,
      mapping('where clients are sent instead', {
        to: needed(redirectTarget, 'a URL or a path'),
        status: option(redirectStatus, 'of the redirect', { usual: 308 }),
        keepPath: option(
          yesNo,
          'whether what is below the path of the route, and the query, go along',
          { usual: false },
        ),
      }),
    ).optional(),
    ...handling,
    auth: either(oneOf(['none']), auth).optional(),
  },
)

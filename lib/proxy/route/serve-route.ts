import { resolveCheck } from '../../backend/health/check-options.ts'
import { resolveEject, resolvePanic } from '../../backend/health/options.ts'
import type { DispatcherTo } from '../../dispatch/backends.ts'
import { resolveHedging } from '../../dispatch/hedge/options.ts'
import { resolveResume } from '../../dispatch/resumed-response/options.ts'
import { resolveRetries } from '../../dispatch/retry/options.ts'
import { HandfastError } from '../../errors.ts'
import type { ProxyVersion } from '../../proxy-protocol/header.ts'
import { backendLimits, resolveLimits } from '../limits.ts'
import type { Handling, Limits, OwnLimits, RouteLimits } from '../options.ts'
import type { ServeRoute } from './routes.ts'
import { urgencies } from './urgencies.ts'

/** Makes what serves a route; what it has no limits of its own for is held to `limits`. */
export function serveRoute(dispatcherTo: DispatcherTo, limits: Limits): ServeRoute {
  return ({ authorizer, backends = [], limits: own, ...handling }, scope) => {
    const held = own === undefined ? limits : resolveLimits({ ...limits, ...given(own) })
    const affinity =
      handling.affinity ??
      (handling.class === 'secure' ? { by: 'tls-session' } : undefined)
    const hedging = resolveHedging(handling.hedging)
    if (hedging !== undefined && affinity !== undefined && affinity.by !== 'none') {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        'hedging has no place beside affinity: say hedging: off, or affinity: none',
      )
    }
    return {
      authorizer: authorizer === 'none' ? undefined : authorizer,
      limits: held,
      urgencyOf: urgencies(handling.queue),
      dispatcher: dispatcherTo({
        targets: backends.map(one => (typeof one === 'string' ? { url: one } : one)),
        backend: {
          ca: handling.backendCa,
          cert: handling.backendCert,
          key: handling.backendKey,
          protocol: handling.backendProtocol,
          proxyProtocol: proxyVersionOf(handling),
          adaptive: handling.concurrency === 'adaptive',
          ...backendLimits(held),
          eject: resolveEject(handling.health?.eject),
          check: handling.health?.check && resolveCheck(handling.health.check),
        },
        selection: { ...handling, panic: resolvePanic(handling.health?.panic) },
        retries: resolveRetries(handling.retries),
        resume: resolveResume(handling.resumeResponses),
        affinity,
        hedging,
        scope,
        queueTimeout: held.queueTimeout,
        timeouts: { request: held.requestTimeout, try: held.tryTimeout },
      }),
    }
  }
}

/** A connection of HTTP/2 is many clients', and a header names one. */
function proxyVersionOf({
  backendProxyProtocol,
  backendProtocol,
}: Handling): ProxyVersion | undefined {
  if (backendProxyProtocol === undefined || backendProtocol !== 'http2') {
    return backendProxyProtocol
  }
  throw new HandfastError(
    'ERR_HANDFAST_CONFIG',
    'backendProxyProtocol needs a backendProtocol of http1',
  )
}

function given(limits: OwnLimits): Partial<RouteLimits> {
  const entries = Object.entries(limits).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries)
}

import { checkedDispatcher } from '../dispatch/checked-dispatcher.ts'
import { resolveLimits } from './limits.ts'
import type { Limits, Site } from './options.ts'
import { serveRoute } from './route/serve-route.ts'
import { Sites } from './sites.ts'

/**
 * Throws ERR_HANDFAST_CONFIG where a proxy with these sites and limits would, without one. What
 * judges requests has no part in it.
 */
export function checkSites(sites: readonly Site[], limits: Partial<Limits>): void {
  new Sites(sites, serveRoute(checkedDispatcher, resolveLimits(limits)))
}

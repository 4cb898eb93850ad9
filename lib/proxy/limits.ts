import type { BackendOptions } from '../backend/backend.ts'
import { HandfastError } from '../errors.ts'
import { usualShare } from '../limit/shares.ts'
import {
  fillNumbers,
  type NumberRule,
  type NumberRules,
} from '../options/number-options.ts'
import { type Limits, type RouteLimits, routeLimits } from './options.ts'

const most = Number.POSITIVE_INFINITY

/** Each default with its reason. */
export const limitRules: NumberRules<keyof Limits> = {
  // A phone on a bad line sends 16 KiB within seconds; a slowloris would take minutes.
  headersTimeout: time(15_000),
  bodyTimeout: time(60_000),
  // Longer than the 50 s that browsers wait between polls of a page.
  idleTimeout: time(60_000),
  // Two lost SYNs are 3 s; more means that the backend is not there.
  connectTimeout: time(5_000),
  backendHeadersTimeout: time(60_000),
  backendBodyTimeout: time(60_000),
  // Downloads and streams take as long as they take.
  requestTimeout: time(0, 0),
  tryTimeout: time(0, 0),
  // A WebSocket may be silent for long; TCP keep-alive finds the dead ones sooner.
  tunnelTimeout: time(3_600_000),
  // What Node and most backends take themselves: what they would refuse is refused here.
  maxHeaderBytes: { unit: 'bytes', usual: 16_384, least: 1, most },
  maxBodyBytes: { unit: 'bytes', usual: 0, least: 0, most },
  // Of which one network has 10 000, or 2 048, when it is alone.
  maxConnections: count(12_500),
  // What one HTTP/2 client may have open at a time; browsers never need more than 100.
  maxStreams: count(128),
  maxBackendRequests: count(2_560),
  // A wait that a person bears. Longer ones only make the line longer.
  queueTimeout: time(2_000, 0),
  maxQueued: { unit: 'count', usual: 1_000, least: 0, most },
  // They are silent for most of the time, and cost a backend little more than a connection.
  maxTunnels: count(10_000),
  // They cost a backend nothing, and this process some 10 KiB each.
  maxPendingBodies: count(10_000),
  // One client alone gets most of what there is, and the next one still gets in.
  clientShare: { unit: 'percent', usual: 100 * usualShare, least: 1, most: 100 },
  shutdownDelay: time(0, 0),
  drainTimeout: time(30_000, 0),
  // What a release can't do shows with its first requests.
  upgradeProbation: time(5_000, 0),
}

/** Of those that a site or a route may have of its own. */
export const routeLimitRules: NumberRules<keyof RouteLimits> = Object.fromEntries(
  routeLimits.map(name => [name, limitRules[name]]),
) as NumberRules<keyof RouteLimits>

/** The defaults with `overrides` laid over them. Throws ERR_HANDFAST_CONFIG naming a bad one. */
export function resolveLimits(overrides: Partial<Limits> = {}): Limits {
  const unknown = Object.keys(overrides).find(name => !Object.hasOwn(limitRules, name))
  if (unknown !== undefined) {
    throw new HandfastError('ERR_HANDFAST_CONFIG', `limits.${unknown} is no known limit`)
  }
  return fillNumbers(limitRules, overrides, { prefix: 'limits.', whole: true })
}

function time(usual: number, least = 1): NumberRule {
  return { unit: 'ms', usual, least, most }
}

function count(usual: number): NumberRule {
  return { unit: 'count', usual, least: 1, most }
}

/** What of them a backend is held to. */
export function backendLimits(limits: Limits): BackendOptions {
  return {
    connectTimeout: limits.connectTimeout,
    headersTimeout: limits.backendHeadersTimeout,
    bodyTimeout: limits.backendBodyTimeout,
    maxHeaderBytes: limits.maxHeaderBytes,
    maxRequests: limits.maxBackendRequests,
    maxTunnels: limits.maxTunnels,
    maxQueued: limits.maxQueued,
    share: limits.clientShare / 100,
  }
}

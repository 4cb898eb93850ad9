import type { BackendOptions } from '../backend/backend.ts'
import { HandfastError } from '../errors.ts'
import { usualShare } from '../limit/shares.ts'
import type { Limits } from './options.ts'

/** Each default with its reason. */
export const defaultLimits: Limits = {
  // A phone on a bad line sends 16 KiB within seconds; a slowloris would take minutes.
  headersTimeout: 15_000,
  bodyTimeout: 60_000,
  // Longer than the 50 s that browsers wait between polls of a page.
  idleTimeout: 60_000,
  // Two lost SYNs are 3 s; more means that the backend is not there.
  connectTimeout: 5_000,
  backendHeadersTimeout: 60_000,
  backendBodyTimeout: 60_000,
  // A WebSocket may be silent for long; TCP keep-alive finds the dead ones sooner.
  tunnelTimeout: 3_600_000,
  // What Node and most backends take themselves: what they would refuse is refused here.
  maxHeaderBytes: 16_384,
  maxBodyBytes: 0,
  // Of which one network has 10 000, or 2 048, when it is alone.
  maxConnections: 12_500,
  // What one HTTP/2 client may have open at a time; browsers never need more than 100.
  maxStreams: 128,
  maxBackendRequests: 2_560,
  // They are silent for most of the time, and cost a backend little more than a connection.
  maxTunnels: 10_000,
  // They cost a backend nothing, and this process some 10 KiB each.
  maxPendingBodies: 10_000,
  // One client alone gets most of what there is, and the next one still gets in.
  clientShare: 100 * usualShare,
  drainTimeout: 30_000,
}

const mayBeZero: readonly (keyof Limits)[] = ['maxBodyBytes', 'drainTimeout']

/** The defaults with `overrides` laid over them. Throws ERR_HANDFAST_CONFIG naming a bad one. */
export function resolveLimits(overrides: Partial<Limits> = {}): Limits {
  const limits: Record<string, number> = { ...defaultLimits }
  for (const [name, value] of Object.entries(overrides)) {
    if (value === undefined) continue
    const least = mayBeZero.includes(name as keyof Limits) ? 0 : 1
    if (name === 'clientShare' && value > 100) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `limits.clientShare must be a percentage from 1 to 100, got ${value}`,
      )
    }
    if (!(name in defaultLimits) || !Number.isSafeInteger(value) || value < least) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `limits.${name} must be a known limit and a whole number from ${least}, got ${value}`,
      )
    }
    limits[name] = value
  }
  return limits as unknown as Limits
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
    share: limits.clientShare / 100,
  }
}

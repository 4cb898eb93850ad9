import { HandfastError } from '../../errors.ts'
import { shown } from '../../shown.ts'
import { answer, type Exchange } from '../client/exchange.ts'
import { checkRequest } from '../message/request-check.ts'

/**
 * Answers a balancer that asks on the port for clients whether this proxy wants them: it knows an
 * address and no name, and is nobody's user. True when it was one. What can't be read as a
 * request is none, and goes the way of all such.
 */
export function answerProbe(
  exchange: Exchange,
  path: string | undefined,
  notReady: () => string | undefined,
): boolean {
  const { method, target } = exchange.head
  if (path === undefined || target !== path) return false
  if (
    (method !== 'GET' && method !== 'HEAD') ||
    'status' in checkRequest(exchange.head)
  ) {
    return false
  }
  // Why not is for whoever reaches the admin port.
  if (notReady() === undefined) answer(exchange, 200, 'OK')
  else answer(exchange, 503, 'Service Unavailable')
  return true
}

/** A path as it stands in a request, without query: `/.well-known/health`. */
export const healthPath: RegExp = /^\/[\x21\x22\x24-\x3e\x40-\x7e]*$/

/** The same path. Throws ERR_HANDFAST_CONFIG for what is none. */
export function checkHealthPath(path: string | undefined): string | undefined {
  if (path === undefined || (typeof path === 'string' && healthPath.test(path)))
    return path
  throw new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `healthPath must be a path such as /.well-known/health, got ${shown(path)}`,
  )
}

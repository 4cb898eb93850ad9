import { limitRules, routeLimitRules } from '../../proxy/limits.ts'
import type { Limits, OwnLimits } from '../../proxy/options.ts'
import { numbersOf } from './numbers.ts'
import { mapping, type Schema } from './option.ts'

const told = {
  headersTimeout: 'client must have sent its headers',
  bodyTimeout:
    'longest silence of the client that sends a body, longest standstill of one that takes ' +
    'an answer',
  idleTimeout: 'idle connection is closed',
  connectTimeout: 'backend must accept',
  backendHeadersTimeout: 'backend must answer, else 504',
  backendBodyTimeout: 'longest silence of the backend inside a body',
  requestTimeout:
    'a request must be answered in full, waiting and trying again included, else 504, or a cut ' +
    'where the answer has begun; 0: no limit',
  tryTimeout:
    'a backend must begin to answer, connecting included, else the next is asked if that does ' +
    'no harm; 0: no limit but those above',
  tunnelTimeout: 'longest silence of a WebSocket',
  maxHeaderBytes:
    'as HTTP/1.1 has them, however many fields; beyond it 431, or 502 where it is the answer ' +
    'of a backend',
  maxBodyBytes: 'beyond it 413; 0: no limit',
  maxConnections: 'client connections',
  maxStreams: 'open requests of one HTTP/2 connection',
  maxBackendRequests:
    'open requests to one backend, beyond it 503; one with a body counts when the first ' +
    'bytes of it are there',
  queueTimeout:
    'longest wait for a backend that has no room, then 503 with Retry-After; 0: none waits',
  maxQueued: 'requests that wait for one backend, beyond it 503',
  maxTunnels: 'open WebSockets to one backend, beyond it 503',
  maxPendingBodies: 'requests whose body has not begun to come, beyond it 503',
  clientShare:
    'percent of connections, requests, WebSockets that one client network may have',
  shutdownDelay: 'between SIGTERM and the drain: probes say not ready, all else goes on',
  drainTimeout: 'for open requests after SIGTERM',
  upgradeProbation:
    'the first worker of an upgrade serves so long beside the old ones; if it ends, all stays',
}

export const limits: Schema<{ readonly [name in keyof Limits]?: number | undefined }> =
  mapping('of one worker process', numbersOf(limitRules, told))

export const routeLimits: Schema<OwnLimits> = mapping(
  'of its own, in place of those for all',
  numbersOf(routeLimitRules, told),
)

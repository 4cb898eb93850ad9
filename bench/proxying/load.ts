import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { forkChild, stopChild } from '../harness/child.ts'

export type Body = 'small' | 'high' | 'low' | 'mib' | 'gib'

/** What the backend answers with, in bytes. `high` and `low` take it 10 to 30 ms. */
export const bodyBytes: Readonly<Record<Body, number>> = {
  small: 100,
  high: 100,
  low: 100,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
}

/**
 * - `h1`: kept-alive connections of HTTP/1.1, one request at a time on each.
 * - `h2`: HTTP/2, ten streams on each connection.
 * - `new`: a connection with a full handshake for each request.
 */
export type LoadKind = 'h1' | 'h2' | 'new'

export interface LoadJob {
  readonly kind: LoadKind
  readonly port: number
  readonly body: Body
  /** Requests under way at a time. */
  readonly concurrency: number
  readonly requests: number
  /** The first cookie that a connection of HTTP/1.1 is given comes back with what follows. */
  readonly cookies?: boolean
}

export interface LoadOutcome {
  readonly done: number
  readonly failed: number
  readonly firstFailure: string | undefined
  /** From the first request to the last answer, in milliseconds. */
  readonly elapsed: number
  /** Of each answer, in milliseconds, sorted. */
  readonly latencies: readonly number[]
}

/**
 * Connections that are opened and left alone, until `release`: after their handshake, or after the
 * handshake of a WebSocket.
 */
export interface HoldJob {
  readonly hold: 'tls' | 'websocket'
  readonly port: number
  readonly connections: number
}

/** Requests at a rate of their own, by kept-alive HTTP/1.1, whatever becomes of them. */
export interface PacedJob {
  /** Requests per second. */
  readonly pace: number
  readonly port: number
  readonly seconds: number
  readonly path: string
  /** Of the requests, in turn. */
  readonly methods: readonly string[]
}

export interface PacedOutcome {
  /** Milliseconds of each answer 200, sorted. */
  readonly latencies: readonly number[]
  /** What each of the others came to: `METHOD status` or `METHOD error`. */
  readonly failures: readonly string[]
}

/** Longer than this a job has hung, in milliseconds. */
const jobTimeout = 120_000

/** Clients in a process of their own, whose processor time counts for nobody. */
export class Load {
  readonly #child: ChildProcess

  constructor(ca: string) {
    this.#child = forkChild(new URL('./load-process.ts', import.meta.url))
    this.#child.send({ ca })
  }

  async run(job: LoadJob): Promise<LoadOutcome> {
    this.#child.send(job)
    const [outcome] = (await once(this.#child, 'message', {
      signal: AbortSignal.timeout(jobTimeout),
    })) as [LoadOutcome]
    return outcome
  }

  async paced(job: PacedJob): Promise<PacedOutcome> {
    this.#child.send(job)
    const [outcome] = (await once(this.#child, 'message', {
      signal: AbortSignal.timeout(jobTimeout),
    })) as [PacedOutcome]
    return outcome
  }

  /** Resolves when all stand; rejects when one could not be opened. */
  async hold(job: HoldJob): Promise<void> {
    this.#child.send(job)
    const [{ held }] = (await once(this.#child, 'message', {
      signal: AbortSignal.timeout(jobTimeout),
    })) as [{ held: number }]
    if (held !== job.connections)
      throw new Error(`only ${held} connections could be opened`)
  }

  async release(): Promise<void> {
    this.#child.send({ release: true })
    await once(this.#child, 'message', { signal: AbortSignal.timeout(jobTimeout) })
  }

  close(): Promise<void> {
    return stopChild(this.#child)
  }
}

/** Answers the port of a backend that runs until `close`, or until it is killed. */
export async function startBackend(): Promise<{
  readonly port: number
  /** As the kernel does it when memory runs out. */
  kill(): void
  close(): Promise<void>
}> {
  const child = forkChild(new URL('./backend-process.ts', import.meta.url))
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return { port, kill: () => child.kill('SIGKILL'), close: () => stopChild(child) }
}

/** What a client process is asked to do. Times in milliseconds. */
export interface Job {
  readonly id: number
  readonly kind: JobKind
  readonly version: '1.2' | '1.3'
  readonly trust: Trust
  /** One port per member, in the same order on every client. */
  readonly ports: readonly number[]
  readonly count: number
  /** Connections under way at once. */
  readonly concurrency: number
  readonly seed: number
}

/**
 * `full`: no session is offered, members take turns. `mint`: the same, and what the servers
 * give is kept for `same` (offered to the member that gave it) and `cross` (offered to
 * another one), each session once. `chain`: as many browsers as `concurrency`, each with a jar
 * of its own, visit random members one after another.
 */
export type JobKind = 'mint' | 'full' | 'same' | 'cross' | 'chain'

export interface Trust {
  readonly ca: string
  readonly key?: string | undefined
  readonly cert?: string | undefined
}

export interface JobResult {
  readonly id: number
  /** Of each visit that succeeded. */
  readonly handshakes: readonly number[]
  readonly firstBytes: readonly number[]
  readonly resumed: number
  /** As the servers said; undefined when they do not say. */
  readonly serverResumed: number | undefined
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly failed: number
  readonly firstFailure: string | undefined
  /** From the first connect to the last close. */
  readonly wall: number
  /** Processor time of the client process. */
  readonly cpu: number
}

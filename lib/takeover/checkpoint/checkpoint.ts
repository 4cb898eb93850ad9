import type { Representation } from '../../dispatch/resumed-response/representation.ts'
import type { Fields } from '../../http/fields.ts'
import type { ConnectionState } from '../connection/connection-state.ts'
import type { PlannedResponse } from '../plan/planned-response.ts'

/**
 * All that somebody else needs to go on with a client's connection as if nothing had happened. It
 * holds keys and cookies: memory only, and never on a wire in clear.
 */
export interface Checkpoint {
  /** Drawn when the connection came; 16 bytes. */
  readonly id: Buffer
  /** Bundle that it belongs to: its connections move together. Undefined: it goes alone. */
  readonly bundle: Buffer | undefined
  /** Wall time in milliseconds at which this was so. */
  readonly at: number
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly transport: ConnectionState
  /** Bytes since accept: given to the transport, and taken from it. */
  readonly position: number
  readonly readPosition: number
  /** What the client waits for. Undefined: nothing, and it may ask again. */
  readonly owed: Owed | undefined
  /** What the kernel would have to be told on another host; empty where that is not meant. */
  readonly kernel: Buffer
}

export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** What was asked, and how far the answer is. */
export interface Owed {
  readonly request: AskedRequest
  /** Undefined: nothing of the answer has been said yet. */
  readonly response: BegunResponse | undefined
}

/** A request as the client sent it. */
export interface AskedRequest {
  readonly method: string
  readonly target: string
  readonly httpVersion: string
  readonly fields: Fields
  /** It has a body, which is lost with the process that has read it. */
  readonly hasBody: boolean
}

/** A response that can be made again from its middle on. */
export interface BegunResponse {
  readonly planned: PlannedResponse
  /** What another answer of a backend has to agree with. */
  readonly representation: Representation
}

/** Bytes of the largest one; what would need more is not written down. */
export const longestCheckpoint = 60_000

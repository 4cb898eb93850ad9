import type { PlannedResponse } from '../plan/planned-response.ts'
import { fullRecord } from '../record-layer/layout.ts'
import type { Channel } from './channel.ts'

/** A response that is about to be said; the parts of PlannedResponse that its maker knows. */
export interface ResponsePlan {
  /** Of the representation: first byte and how many, from 1. */
  readonly first: number
  readonly length: number
  readonly keepAlive: boolean
}

/**
 * Told of a response before its first byte is given to the transport. When it returns a promise
 * that byte waits for it, and if it rejects the connection is destroyed.
 */
export type Planned = (response: PlannedResponse) => void | Promise<void>

/** A response that is written next; its head is not there yet. */
export class NextResponse {
  readonly planned: Planned
  readonly #plan: ResponsePlan

  constructor(plan: ResponsePlan, planned: Planned) {
    this.#plan = plan
    this.planned = planned
  }

  /**
   * Plans it on a channel that is `at` bytes far. Undefined: `written`, which comes next, has no
   * whole head at its front, and is in no plan.
   */
  begin(written: Buffer, channel: Channel, at: number): PlannedResponse | undefined {
    const end = written.indexOf('\r\n\r\n') + 4
    if (end < 4 || end > fullRecord) return undefined
    const { first, length, keepAlive } = this.#plan
    const head = Buffer.from(written.subarray(0, end))
    const response = { at, head, first, length, keepAlive, record: channel.record }
    channel.plan(end, length)
    return response
  }
}

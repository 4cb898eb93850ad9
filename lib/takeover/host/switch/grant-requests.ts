import { randomBytes } from 'node:crypto'
import type { Clock, Timer } from '../../../clock.ts'
import type { Segment } from '../../native/packets/segment.ts'
import type { ToldFlow } from './flow-index.ts'
import type { GrantReply, GrantRequest } from './grant-word.ts'

/** A stray of a connection whose member is dead. */
export interface OrphanStray {
  readonly told: ToldFlow
  /** Whose it was. */
  readonly of: string
  /** Who decides. */
  readonly decider: string
  readonly segment: Segment
}

export interface GrantRequestsParts {
  readonly self: string
  readonly clock: Clock
  /** Connections that may be asked for at once. Default 10 000. */
  readonly most?: number | undefined
  say(request: GrantRequest): void
  /** This member, and nobody else, goes on with the connection. */
  onGranted(stray: OrphanStray): void
}

export type GrantOutcome = 'granted' | 'refused' | 'unanswered'

/** Milliseconds after which a request is said again, each time, */
const repetitions = [100, 300, 1_000, 3_000]
/** and for which no other one is made for the same connection. */
const patience = 10_000
const mostPending = 10_000

/** What this member asks of those that decide on connections of dead ones. */
export class GrantRequests {
  readonly #parts: GrantRequestsParts
  /** By connection. */
  readonly #pending = new Map<string, Pending>()
  readonly #counts = { granted: 0, refused: 0, unanswered: 0 }

  constructor(parts: GrantRequestsParts) {
    this.#parts = parts
  }

  /** Since start, by what came of them. */
  get counts(): Readonly<Record<GrantOutcome, number>> {
    return { ...this.#counts }
  }

  /** Once for all strays of a connection that come meanwhile. */
  ask(stray: OrphanStray): void {
    const connection = stray.told.id.toString('hex')
    const before = this.#pending.get(connection)
    if (before !== undefined) {
      before.stray = stray
      return
    }
    const { self, clock, most = mostPending } = this.#parts
    if (this.#pending.size >= most) return
    const request: GrantRequest = {
      connection,
      request: randomBytes(16).toString('hex'),
      of: stray.of,
      from: self,
      to: stray.decider,
    }
    const say = () => this.#parts.say(request)
    const timers = [
      ...repetitions.map(ms => clock.after(ms, say)),
      clock.after(patience, () => this.#over(connection)),
    ]
    this.#pending.set(connection, { request, stray, timers, isRefused: false })
    say()
  }

  heard(reply: GrantReply): void {
    const pending = this.#pending.get(reply.connection)
    const { request, to } = pending?.request ?? {}
    if (!pending || reply.request !== request || reply.to !== to) return
    if (pending.isRefused) return
    if (reply.isGranted) {
      this.#counts.granted += 1
      this.#drop(reply.connection, pending)
      this.#parts.onGranted(pending.stray)
      return
    }
    this.#counts.refused += 1
    pending.isRefused = true
    for (const timer of pending.timers.slice(0, -1)) timer.cancel()
  }

  close(): void {
    for (const [connection, pending] of this.#pending) this.#drop(connection, pending)
  }

  #over(connection: string): void {
    const pending = this.#pending.get(connection)
    if (pending === undefined) return
    if (!pending.isRefused) this.#counts.unanswered += 1
    this.#drop(connection, pending)
  }

  #drop(connection: string, { timers }: Pending): void {
    for (const timer of timers) timer.cancel()
    this.#pending.delete(connection)
  }
}

interface Pending {
  readonly request: GrantRequest
  /** The newest. */
  stray: OrphanStray
  readonly timers: readonly Timer[]
  isRefused: boolean
}

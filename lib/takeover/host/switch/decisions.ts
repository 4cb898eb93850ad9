import type { Clock, Timer } from '../../../clock.ts'
import type { Left } from '../bequests.ts'
import type { Flow } from '../restore/flow.ts'
import type { Bequest } from '../restore/restorations.ts'
import type { GrantRequest } from './grant-word.ts'

export interface DecisionsParts {
  readonly clock: Clock
  /** Asks the client of a connection where it is, again and again, until `drop`. */
  probe(bequest: Bequest<Left>): Flow
  drop(flow: Flow): void
  /** Nothing of a member is granted any more: how many connections were, and how many not. */
  onOver(member: string, granted: number, lost: number): void
}

export interface DecidedConnection {
  /** Whose it was. */
  readonly of: string
  readonly bequest: Bequest<Left>
  readonly isGiven: boolean
}

/** Milliseconds for which connections of a dead member can be had: as long as a switch may take. */
export const grantPatience = 30_000
/** From then on, for which an answer is given again to whoever did not hear it. */
const repetition = 30_000
/** Connections of one member that are remembered as given. */
const mostGrants = 50_000

/**
 * The connections of dead and fenced members, for which this one was elected: each is granted once,
 * to the first that asks. Nobody else ever grants them, whatever becomes of this member.
 */
export class Decisions {
  readonly #parts: DecisionsParts
  /** By member. */
  readonly #decisions = new Map<string, Decision>()

  constructor(parts: DecisionsParts) {
    this.#parts = parts
  }

  /** Once more for one that was there again meanwhile: of its new connections. */
  begin(member: string, bequests: readonly Bequest<Left>[]): void {
    this.#decisions.get(member)?.timer.cancel()
    const decision: Decision = {
      member,
      isOpen: true,
      waiting: new Map(),
      flows: new Map(),
      grants: new Map(),
      timer: this.#parts.clock.after(grantPatience, () => this.#end(decision)),
    }
    this.#decisions.set(member, decision)
    for (const bequest of bequests) {
      const flow = this.#parts.probe(bequest)
      decision.waiting.set(nameOf(bequest), flow)
      decision.flows.set(flow, bequest)
    }
  }

  /** The connection of a flow; `isGiven`: to somebody, or to nobody for ever. */
  find(flow: Flow): DecidedConnection | undefined {
    for (const { member, flows, waiting } of this.#decisions.values()) {
      const bequest = flows.get(flow)
      if (bequest === undefined) continue
      return { of: member, bequest, isGiven: !waiting.has(nameOf(bequest)) }
    }
    return undefined
  }

  /** True: it is for whoever asks, and for nobody else. The same again for the same request. */
  grant({ connection, request, of, from }: Omit<GrantRequest, 'to'>): boolean {
    const decision = this.#decisions.get(of)
    if (decision === undefined) return false
    const grantee = `${from} ${request}`
    const before = decision.grants.get(connection)
    if (before !== undefined) return before === grantee
    if (!decision.isOpen || decision.grants.size >= mostGrants) return false
    // One that is not waiting was told to the other one alone.
    decision.grants.set(connection, grantee)
    this.#settle(decision, connection)
    return true
  }

  /** Its client has said nothing for too long. */
  lost({ id }: Left): void {
    const connection = id.toString('hex')
    for (const decision of this.#decisions.values()) {
      if (!decision.waiting.has(connection)) continue
      decision.grants.set(connection, nobody)
      this.#settle(decision, connection)
    }
  }

  /** The member is there again, and has closed what it had. */
  stop(member: string): void {
    const decision = this.#decisions.get(member)
    if (decision !== undefined) this.#end(decision)
  }

  close(): void {
    for (const { timer, waiting } of this.#decisions.values()) {
      timer.cancel()
      for (const flow of waiting.values()) this.#parts.drop(flow)
    }
    this.#decisions.clear()
  }

  #settle(decision: Decision, connection: string): void {
    const flow = decision.waiting.get(connection)
    decision.waiting.delete(connection)
    if (flow !== undefined) this.#parts.drop(flow)
  }

  #end(decision: Decision): void {
    const { member, waiting, grants, timer } = decision
    if (!decision.isOpen) return
    decision.isOpen = false
    timer.cancel()
    const lost = waiting.size + [...grants.values()].filter(to => to === nobody).length
    for (const connection of [...waiting.keys()]) this.#settle(decision, connection)
    decision.timer = this.#parts.clock.after(repetition, () =>
      this.#decisions.delete(member),
    )
    const granted = [...grants.values()].filter(to => to !== nobody).length
    this.#parts.onOver(member, granted, lost)
  }
}

const nobody = ''

interface Decision {
  readonly member: string
  isOpen: boolean
  /** Those that nobody has been granted, by id. */
  readonly waiting: Map<string, Flow>
  readonly flows: Map<Flow, Bequest<Left>>
  /** By id: to whom, and upon which request. */
  readonly grants: Map<string, string>
  timer: Timer
}

function nameOf({ subject }: Bequest<Left>): string {
  return subject.id.toString('hex')
}

import type { Clock, Timer } from '../../../clock.ts'
import type { Segment } from '../../native/packets/segment.ts'
import type { LeftConnection } from '../board/board.ts'
import type { ConnectionTable } from '../board/connection-table.ts'
import type { Holding } from '../move/holding.ts'
import { Moves } from '../move/moves.ts'
import type { OrphanStray } from './grant-requests.ts'
import type { GrantRequest } from './grant-word.ts'

export interface ConnectionMovesParts {
  readonly self: string
  readonly clock: Clock
  readonly table: ConnectionTable
  isLeaving(): boolean
  say(request: Omit<GrantRequest, 'from'>): void
  /** A connection of this member alone, by its id in hexadecimal; undefined: it can't be moved. */
  holding(connection: string): Holding | undefined
  /** It is this member's; `segment`: what its client said last. */
  receive(left: LeftConnection, segment: Segment | undefined): void
}

/** Milliseconds after which a connection is asked for once more, when a stray of it comes. */
const patience = 3_000
const mostAsked = 10_000
const mostGiving = 1_000

/**
 * Connections that go to another member while both live, because the switch sends them there: one
 * that has a stray asks its owner, which gives the connection as it would an address with all of them.
 * Nobody votes, for nobody else may have it: the owner lives, and whoever could go on from what it
 * told has said that it knows better.
 */
export class ConnectionMoves {
  readonly #parts: ConnectionMovesParts
  readonly #moves: Moves
  /** Of other members, by connection. */
  readonly #asked = new Map<string, Asked>()
  /** Of this member. */
  readonly #giving = new Set<string>()

  constructor(parts: ConnectionMovesParts) {
    this.#parts = parts
    const { self, clock, table } = parts
    this.#moves = new Moves({
      ...{ self, clock, table },
      votes: unopposed,
      mostIncoming: mostGiving,
      holds: (member, { address }) => this.#asked.get(address)?.stray.of === member,
      isLeaving: () => parts.isLeaving(),
      receive: async ({ address }, _from, left) => this.#received(address, left),
    })
  }

  /** A stray of a connection whose member lives. */
  ask(stray: OrphanStray): void {
    const connection = stray.told.id.toString('hex')
    const before = this.#asked.get(connection)
    if (before !== undefined) {
      before.stray = stray
      return
    }
    if (this.#asked.size >= mostAsked || this.#parts.isLeaving()) return
    const timer = this.#parts.clock.after(patience, () => this.#asked.delete(connection))
    this.#asked.set(connection, { stray, timer })
    const { of } = stray
    this.#parts.say({ connection, request: connection, of, to: of })
  }

  /** Another member asks for a connection of this one. */
  async asked({ connection, from }: GrantRequest): Promise<void> {
    if (this.#giving.has(connection) || this.#giving.size >= mostGiving) return
    const holding = this.#parts.holding(connection)
    if (holding === undefined) return
    this.#giving.add(connection)
    try {
      const held = { address: connection, epoch: 0 }
      await this.#moves.give(held, from, holding, () => {}, false)
    } finally {
      this.#giving.delete(connection)
    }
  }

  failed(member: string): void {
    this.#moves.failed(member)
  }

  close(): void {
    this.#moves.close()
    for (const { timer } of this.#asked.values()) timer.cancel()
    this.#asked.clear()
  }

  #received(connection: string, left: readonly LeftConnection[]): void {
    const asked = this.#asked.get(connection)
    asked?.timer.cancel()
    this.#asked.delete(connection)
    for (const one of left) this.#parts.receive(one, asked?.stray.segment)
  }
}

interface Asked {
  /** The newest. */
  stray: OrphanStray
  readonly timer: Timer
}

const unopposed = {
  nominate: ({ epoch }: { readonly epoch: number }): number => epoch + 1,
  withdraw(): void {},
  accept: async (): Promise<boolean> => true,
  end(): void {},
}

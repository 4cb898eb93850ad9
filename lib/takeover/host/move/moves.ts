import { randomBytes } from 'node:crypto'
import type { Clock, Timer } from '../../../clock.ts'
import type { LeftConnection } from '../board/board.ts'
import type { ConnectionTable } from '../board/connection-table.ts'
import type { Elections } from '../election/elections.ts'
import type { HeldAddress } from '../election/heartbeats.ts'
import type { GivenConnections, Holding } from './holding.ts'
import { MoveBoard } from './move-board.ts'
import type { MoveStep, MoveWord } from './move-word.ts'

/** Who may have an address next. */
export type MoveVotes = Pick<Elections, 'nominate' | 'withdraw' | 'accept' | 'end'>

export interface MovesParts {
  readonly self: string
  readonly table: ConnectionTable
  readonly clock: Clock
  readonly votes: MoveVotes
  /** Whether the member lives, and has the address by this claim. */
  holds(member: string, claim: HeldAddress): boolean
  /** How many may be on their way here at once. Default 16. */
  readonly mostIncoming?: number | undefined
  /** This member is about to leave, and takes nothing. */
  isLeaving(): boolean
  /** The address is this member's, and `left` are its connections. Never rejects. */
  receive(
    claim: HeldAddress,
    from: string,
    left: readonly LeftConnection[],
  ): Promise<void>
}

/** Why an address was not given: nobody else has it, and its connections go on here. */
export type NotGiven =
  /** The other member did not want it, was not elected, or said nothing. */
  | 'refused'
  /** Connections did not come to a stand. */
  | 'busy'
  /** The other member did not say that it has heard of all connections. */
  | 'unheard'
  /** This host could not let go of the address. */
  | 'stuck'

/** Milliseconds: for an answer, */
const patience = 2_000
/** for connections to come to a stand, of which those that are held hear nothing meanwhile, */
const standing = 1_000
/** from when those are not waited for any more that can be moved as they are, at a cost, */
const waiting = 300
const look = 10
/** and from an offer until it is given; whoever accepted it does something else then. */
const longest = 15_000
const mostIncoming = 16

/**
 * An address that goes to another member, with its connections, while both live (row C8).
 *
 * It is sound without a fence because the giver is one: it ends its sockets and takes the address
 * off its interface, and only then says `gives`. Before that word the receiver does nothing but
 * listen, so that the giver takes all back whenever it likes: when an answer does not come, it
 * lets the connections go on, and `withdraws`. After it, it never goes on, whatever becomes of
 * the receiver: it has neither the sockets nor, by its word, the address. Should the word be lost,
 * or the receiver die over it, then nobody has them, and the connections end. That is all that can
 * happen; two hosts can't have them.
 *
 * Others do not take the address meanwhile: the receiver is elected for it, as after a failure,
 * with the vote of the giver. So whoever takes over from the one knows of the other, and fences it.
 */
export class Moves {
  readonly #parts: MovesParts
  readonly #board: MoveBoard
  readonly #outgoing = new Map<string, Outgoing>()
  readonly #incoming = new Map<string, Incoming>()
  #closed = false

  constructor(parts: MovesParts) {
    this.#parts = parts
    const { table, self, clock } = parts
    this.#board = new MoveBoard(table, self, clock, word => this.#heard(word))
  }

  /** Addresses that are on their way here or away. */
  isMoving(address: string): boolean {
    const all = [...this.#outgoing.values(), ...this.#incoming.values()]
    return all.some(({ word }) => word.address === address)
  }

  /**
   * Gives an address of this host to another member. `leave` takes it off the interface, for good.
   * `whatever`: what does not come to a stand is cut.
   */
  async give(
    held: HeldAddress,
    to: string,
    holding: Holding,
    leave: () => void,
    whatever: boolean,
  ): Promise<GivenConnections | NotGiven> {
    const { self, votes } = this.#parts
    const { address } = held
    const epoch = votes.nominate(held, to)
    const move = randomBytes(16).toString('hex')
    const word = { move, from: self, to, address, epoch, connections: 0 }
    const outgoing: Outgoing = { word, heard: new Set(), onHeard: () => {} }
    this.#outgoing.set(move, outgoing)
    try {
      const given = await this.#give(outgoing, holding, leave, whatever)
      if (typeof given === 'string') {
        holding.release()
        this.#say(word, 'withdraws')
        votes.withdraw(address)
      }
      return given
    } finally {
      this.#outgoing.delete(move)
    }
  }

  /** Nothing more can come of what a member has offered: it is silent, and others judge. */
  failed(member: string): void {
    for (const incoming of this.#incoming.values()) {
      if (incoming.word.from === member && !incoming.isGiven) this.#drop(incoming)
    }
  }

  close(): void {
    this.#closed = true
    for (const outgoing of this.#outgoing.values()) outgoing.onHeard()
    for (const incoming of this.#incoming.values()) {
      this.#say(incoming.word, 'refuses')
      this.#drop(incoming)
    }
    this.#board.close()
  }

  async #give(
    outgoing: Outgoing,
    holding: Holding,
    leave: () => void,
    whatever: boolean,
  ): Promise<GivenConnections | NotGiven> {
    const { word } = outgoing
    this.#say(word, 'offers')
    if (!(await this.#answered(outgoing, 'accepts'))) return 'refused'
    if (!(await this.#stands(holding)) && !whatever) return 'busy'
    const moved = holding.moved()
    for (const one of moved) this.#board.tell(word.move, one)
    const connections = moved.length
    this.#say({ ...word, connections }, 'holds')
    if (!(await this.#answered(outgoing, 'has'))) return 'unheard'
    let given: GivenConnections
    try {
      given = holding.give(leave)
    } catch {
      return 'stuck'
    }
    // From here on there is no way back.
    this.#say({ ...word, connections }, 'gives')
    return given
  }

  /** False when something does not come to a stand in time. */
  async #stands(holding: Holding): Promise<boolean> {
    const { clock } = this.#parts
    const begun = clock.monotonic()
    for (;;) {
      const passed = clock.monotonic() - begun
      if (holding.hold(passed >= waiting) === 0) return true
      if (passed >= standing || this.#closed) return false
      await new Promise<void>(resolve => clock.after(look, resolve))
    }
  }

  #answered(outgoing: Outgoing, step: MoveStep): Promise<boolean> {
    return new Promise(resolve => {
      const end = (has: boolean) => {
        timer.cancel()
        outgoing.onHeard = () => {}
        resolve(has)
      }
      const timer = this.#parts.clock.after(patience, () => end(false))
      outgoing.onHeard = () => {
        const { heard } = outgoing
        if (heard.has('refuses') || this.#closed) end(false)
        else if (heard.has(step)) end(true)
      }
      outgoing.onHeard()
    })
  }

  #heard(word: MoveWord): void {
    const { move, step } = word
    const outgoing = this.#outgoing.get(move)
    if (outgoing !== undefined && word.to === outgoing.word.to) {
      outgoing.heard.add(step)
      outgoing.onHeard()
      return
    }
    if (step === 'offers') void this.#offered(word)
    const incoming = this.#incoming.get(move)
    if (incoming === undefined || incoming.isGiven) return
    if (step === 'withdraws') this.#drop(incoming)
    else if (step === 'holds') {
      incoming.wanted = word.connections
      this.#came(incoming)
    } else if (step === 'gives') void this.#given(incoming)
  }

  async #offered(word: MoveWord): Promise<void> {
    const { move, from, address, epoch } = word
    const { clock, votes, isLeaving, holds } = this.#parts
    if (this.#incoming.has(move)) return
    const isFull = this.#incoming.size >= (this.#parts.mostIncoming ?? mostIncoming)
    const isTheirs = holds(from, { address, epoch })
    if (isFull || isLeaving() || !isTheirs || this.isMoving(address)) {
      this.#say(word, 'refuses')
      return
    }
    const timer = clock.after(longest, () => this.#drop(incoming))
    const incoming: Incoming = { word, timer, wanted: undefined, isGiven: false }
    this.#incoming.set(move, incoming)
    this.#board.expect(move, () => this.#came(incoming))
    const isElected = await votes.accept(from, { address, epoch })
    if (!this.#incoming.has(move)) return
    this.#say(word, isElected ? 'accepts' : 'refuses')
    if (!isElected) this.#drop(incoming)
  }

  #came({ word, wanted }: Incoming): void {
    if (this.#board.count(word.move) === wanted) this.#say(word, 'has')
  }

  async #given(incoming: Incoming): Promise<void> {
    const { move, from, address, epoch } = incoming.word
    incoming.isGiven = true
    incoming.timer.cancel()
    await this.#parts.receive({ address, epoch }, from, this.#board.left(move))
    this.#drop(incoming)
  }

  #drop({ word, timer }: Incoming): void {
    timer.cancel()
    this.#incoming.delete(word.move)
    this.#board.forget(word.move)
    this.#parts.votes.end(word.address)
  }

  #say(word: MoveWord | Outgoing['word'], step: MoveStep): void {
    if (!this.#closed || step === 'refuses' || step === 'withdraws') {
      this.#board.say({ ...word, step })
    }
  }
}

interface Outgoing {
  readonly word: Omit<MoveWord, 'step'>
  readonly heard: Set<MoveStep>
  onHeard: () => void
}

interface Incoming {
  readonly word: MoveWord
  readonly timer: Timer
  /** Connections; undefined before it was said. */
  wanted: number | undefined
  isGiven: boolean
}

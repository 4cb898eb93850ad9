import type { Left } from '../bequests.ts'
import type { Failure } from '../election/heartbeats.ts'
import type { Estate, EstateCounts, EstateRoom, Legacy } from '../estate.ts'
import { probeOf } from '../restore/connection-takeover.ts'
import { type Bequest, Restorations } from '../restore/restorations.ts'
import { takeoverTimes } from '../restore/takeover-times.ts'
import { Arrivals } from './arrivals.ts'
import { ConnectionMoves } from './connection-moves.ts'
import { type DecidedConnection, Decisions, grantPatience } from './decisions.ts'
import { GrantBoard } from './grant-board.ts'
import { GrantRequests, type OrphanStray } from './grant-requests.ts'
import { SharedAddress } from './shared-address.ts'
import { StrayDesk } from './stray-desk.ts'

/** Milliseconds between two looks at what has not gone yet. */
const look = 1_000
/** A client's answer reaches somebody when the switch has found out that the host is gone. */
const probeTimes = { ...takeoverTimes, slowest: 1_000, patience: grantPatience }

/**
 * All members have one address, behind a switch that sends flows to whom it likes. What a member
 * holds, and others are elected for, is its seat, that is named like it. Whoever is elected for the
 * seat of a dead one does not go on with its connections: it says who does, of each once.
 */
export class SeatEstate implements Estate {
  readonly #room: EstateRoom
  readonly #address: SharedAddress
  readonly #arrivals: Arrivals
  readonly #probes: Restorations<Left>
  readonly #decisions: Decisions
  readonly #board: GrantBoard
  readonly #requests: GrantRequests
  readonly #moves: ConnectionMoves
  readonly #desk: StrayDesk
  #isLeaving = false
  #closed = false

  constructor(room: EstateRoom) {
    this.#room = room
    const { options, parts, table } = room
    const { self, clock } = parts
    const around = { ...parts, address: options.address, interface: options.interface }
    this.#address = new SharedAddress({
      ...around,
      ports: () => parts.ports(),
      onStray: segment => this.#desk.hear(segment),
    })
    const send = this.#address.send.bind(this.#address)
    this.#arrivals = new Arrivals({ ...around, send })
    this.#probes = new Restorations<Left>({
      ...around,
      port: { send },
      device: options.interface,
      times: probeTimes,
      serve: socket => socket.destroy(),
      onReset: (left, cause) => {
        parts.onReset(cause)
        this.#decisions.lost(left)
      },
      onChange: () => {},
    })
    this.#decisions = new Decisions({
      clock,
      probe: bequest => this.#probes.begin(bequest),
      drop: flow => this.#probes.drop(flow),
      onOver: (member, granted, lost) => this.#decided(member, granted, lost),
    })
    this.#board = new GrantBoard(table, self, {
      onRequest: request => {
        if (request.of === self) void this.#moves.asked(request)
        else {
          const isGranted = this.#decisions.grant(request)
          this.#board.reply({ ...request, isGranted })
        }
      },
      onReply: reply => this.#requests.heard(reply),
    })
    this.#requests = new GrantRequests({
      self,
      clock,
      say: request => this.#board.ask(request),
      onGranted: stray => this.#granted(stray),
    })
    this.#moves = new ConnectionMoves({
      ...{ self, clock, table },
      isLeaving: () => this.#isLeaving || this.#closed,
      say: request => this.#board.ask({ ...request, from: self }),
      holding: connection => parts.holdingOf(connection),
      receive: (left, segment) => {
        for (const bequest of room.bequests.from(left, options.address, true)) {
          this.#arrivals.take(bequest, segment)
        }
      },
    })
    this.#desk = new StrayDesk({
      ...room,
      clock,
      isHere: flow => this.#arrivals.has(flow),
      decided: flow => this.#decisions.find(flow),
      take: (connection, segment) => {
        const isOurs = this.#decisions.grant(grantOf(connection, self))
        if (isOurs) this.#arrivals.take(connection.bequest, segment)
      },
      ask: stray => this.#requests.ask(stray),
      move: stray => this.#moves.ask(stray),
      pass: segment => this.#address.pass(segment),
    })
  }

  get addresses(): string[] {
    return this.#address.isHere ? [this.#room.options.address] : []
  }

  get counts(): EstateCounts {
    return { strays: this.#desk.counts, grants: this.#requests.counts }
  }

  tend(failures: readonly Failure[]): void {
    const { claims, parts } = this.#room
    for (const { member } of failures) this.#moves.failed(member)
    if (this.#isLeaving || claims.of(parts.self) !== undefined) return
    void this.#settle()
  }

  /** Of nobody else's seat: what another one could have granted is not granted again. */
  bequests({ failed, claim, isFirst }: Legacy): Bequest<Left>[] {
    if (!isFirst || claim.address !== failed) return []
    return this.#room.bequests.of(failed, this.#room.options.address, true)
  }

  async inherit(
    { failed, claim, isFirst }: Legacy,
    bequests: readonly Bequest<Left>[],
    fencing: number,
  ): Promise<void> {
    if (this.#closed) throw new Error('this member is leaving')
    const { claims, parts } = this.#room
    claims.decide({ ...claim, isOpen: isFirst })
    if (!isFirst) {
      const text =
        'a silent member is fenced, and another may have decided on it: all ends'
      parts.log.error({ member: failed, fencing }, text)
      return
    }
    this.#decisions.begin(failed, bequests)
    const connections = bequests.length
    parts.log.warn(
      { member: failed, fencing, connections },
      'a silent member is fenced: its connections go on where the switch sends them',
    )
  }

  lose(seat: string): void {
    const { claims, parts, options, distrust } = this.#room
    claims.drop(seat)
    if (seat !== parts.self) {
      this.#decisions.stop(seat)
      return
    }
    const { address } = options
    parts.log.error(
      { address },
      'this member was taken for dead: its connections are others',
    )
    distrust()
    this.#requests.close()
    this.#arrivals.close()
    parts.onLost(address)
    this.#address.leave()
  }

  /**
   * A switch that sends this host nothing more sends its flows to others, which ask for them. Clients
   * that say nothing are asked where they are, and their answers come there as well.
   */
  async leave(patience: number): Promise<void> {
    this.#isLeaving = true
    const { parts, options, bequests } = this.#room
    const { clock } = parts
    const until = clock.monotonic() + patience
    let left = parts.movable()
    parts.log.info(
      { connections: left.length },
      'connections go where the switch sends them, if it is told to spare this host',
    )
    while (left.length > 0 && clock.monotonic() < until && !this.#closed) {
      for (const one of left) {
        const told = { ...one, toldAt: clock.monotonic(), standing: 'exact' } as const
        for (const { known } of bequests.from(told, options.address)) {
          for (const probe of probeOf(known, clock.monotonic())) this.#address.send(probe)
        }
      }
      await new Promise<void>(resolve => clock.after(look, resolve))
      left = parts.movable()
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    const { claims, parts } = this.#room
    this.#requests.close()
    this.#moves.close()
    this.#decisions.close()
    this.#probes.close()
    this.#arrivals.close()
    claims.drop(parts.self)
    await this.#address.close()
  }

  async #settle(): Promise<void> {
    const { claims, parts } = this.#room
    if (!(await this.#address.come()) || this.#closed) return
    claims.hold({ address: parts.self, epoch: claims.nextEpoch })
  }

  #granted({ told, of, segment }: OrphanStray): void {
    const { bequests, options, parts } = this.#room
    const bequest = bequests.at(of, told, options.address)
    if (bequest === undefined) parts.onReset('lost')
    else this.#arrivals.take(bequest, segment)
  }

  #decided(member: string, granted: number, lost: number): void {
    const { claims, parts } = this.#room
    const decision = claims.decided.find(({ address }) => address === member)
    if (decision !== undefined) claims.decide({ ...decision, isOpen: false })
    parts.log.info(
      { member, granted, lost },
      'the connections of a silent member have gone on, or are lost',
    )
  }
}

function grantOf({ of, bequest }: DecidedConnection, self: string) {
  const connection = bequest.subject.id.toString('hex')
  return { connection, of, from: self, request: 'own' }
}

import type { Left } from '../bequests.ts'
import type { LeftConnection } from '../board/board.ts'
import type { Failure, HeldAddress } from '../election/heartbeats.ts'
import type { Estate, EstateCounts, EstateRoom, Legacy } from '../estate.ts'
import { Departure } from '../move/departure.ts'
import { Moves } from '../move/moves.ts'
import type { Bequest } from '../restore/restorations.ts'
import { HomeAddress } from './home-address.ts'
import { Takeover, type TakeoverReport } from './takeover.ts'

/**
 * Each member has a virtual address of its own, on an interface, that moves by ARP: with it all
 * connections of its clients.
 */
export class AddressEstate implements Estate {
  readonly #room: EstateRoom
  readonly #home: HomeAddress
  readonly #takeovers = new Set<Takeover<Left>>()
  readonly #moves: Moves
  readonly #departure: Departure
  #isLeaving = false
  #closed = false

  constructor(room: EstateRoom) {
    this.#room = room
    const { options, parts, table, heartbeats, elections, claims } = room
    const { address, times } = options
    const { self, clock } = parts
    this.#home = new HomeAddress({
      ...parts,
      address,
      interface: options.interface,
      quiet: 2 * times.timeout,
      hold: () => this.#hold({ address, epoch: claims.nextEpoch }),
    })
    this.#moves = new Moves({
      self,
      table,
      clock,
      votes: elections,
      holds: (member, claim) => heartbeats.holds(member, claim, clock.monotonic()),
      isLeaving: () => this.#isLeaving || this.#closed,
      receive: (claim, from, left) => this.#receive(claim, from, left),
    })
    this.#departure = new Departure({
      ...parts,
      heartbeats,
      moves: this.#moves,
      letGo: held => {
        this.#remove(held)
        claims.letGo(held)
      },
    })
  }

  get addresses(): string[] {
    return this.#room.claims.all.map(({ address }) => address)
  }

  get counts(): EstateCounts {
    return { strays: {}, grants: {} }
  }

  tend(failures: readonly Failure[], now: number): void {
    for (const { member } of failures) this.#moves.failed(member)
    if (this.#isLeaving) return
    const { options, heartbeats, elections, claims } = this.#room
    const { address } = options
    const isHere = claims.of(address) !== undefined || elections.isTaking(address)
    const isOf = (held: HeldAddress) => held.address === address
    const isLeft = failures.some(({ holds }) => holds.some(isOf))
    const isClaimed = heartbeats.claims(now).some(({ claim }) => isOf(claim))
    if (isHere || isLeft || isClaimed) this.#home.stopAsking()
    else this.#home.come(now)
  }

  bequests({ failed, isNext, toFence, claim }: Legacy): Bequest<Left>[] {
    return toFence.flatMap(member =>
      this.#room.bequests.of(member, claim.address, isNext && member === failed),
    )
  }

  async inherit(
    { failed, claim }: Legacy,
    bequests: readonly Bequest<Left>[],
    fencing: number,
  ): Promise<void> {
    const { address } = claim
    const { served, reset, wait } = await this.#goOn(claim, bequests)
    this.#room.parts.log.warn(
      { member: failed, address, fencing, wait: Math.round(wait), served, reset },
      'the address of a silent member is here, and its connections go on',
    )
  }

  lose(address: string): void {
    const { parts, distrust } = this.#room
    const text = 'another member has taken over the virtual address'
    parts.log.error({ address }, text)
    distrust()
    parts.onLost(address)
    this.#drop(address)
  }

  async leave(patience: number): Promise<void> {
    this.#isLeaving = true
    this.#home.stopAsking()
    await this.#departure.give(this.#room.claims.all, patience)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#home.stopAsking()
    this.#departure.close()
    this.#moves.close()
    for (const takeover of this.#takeovers) takeover.close()
    for (const { address } of this.#room.claims.all) this.#drop(address)
  }

  /** Throws when the address does not come. */
  async #goOn(
    claim: HeldAddress,
    bequests: readonly Bequest<Left>[],
  ): Promise<TakeoverReport> {
    const { parts, options } = this.#room
    const takeover = new Takeover<Left>(
      {
        ...parts,
        port: parts.packets.open(options.interface, claim.address),
        device: options.interface,
        bring: async () => this.#bring(claim),
        serve: (socket, { checkpoint, standing }, place) =>
          parts.adopt(socket, checkpoint, { ...place, standing }),
        onReset: (_subject, cause) => parts.onReset(cause),
        onOver: () => this.#takeovers.delete(takeover),
      },
      bequests,
    )
    this.#takeovers.add(takeover)
    try {
      return await takeover.run()
    } catch (error) {
      this.#takeovers.delete(takeover)
      takeover.close()
      throw error
    }
  }

  /** An address that its member has given to this one. */
  async #receive(
    claim: HeldAddress,
    from: string,
    left: readonly LeftConnection[],
  ): Promise<void> {
    const { log } = this.#room.parts
    const { address } = claim
    try {
      const bequests = left.flatMap(each => this.#room.bequests.from(each, address, true))
      const { served, reset, wait } = await this.#goOn(claim, bequests)
      log.info(
        { member: from, address, wait: Math.round(wait), served, reset },
        'an address that another member has given is here, and its connections go on',
      )
    } catch (error) {
      log.error(
        { member: from, address, reason: String(error) },
        'an address that another member has given can not be had, and is of nobody',
      )
    }
  }

  /** It was closed while the clients were asked: then the address is nobody's. */
  #bring(claim: HeldAddress): void {
    if (this.#closed) throw new Error('this member is leaving')
    const { address, epoch } = claim
    const isPast = this.#room.heartbeats
      .beats()
      .some(({ holds }) => holds.some(o => o.address === address && o.epoch > epoch))
    if (isPast) throw new Error('another member has it by now')
    this.#hold(claim)
  }

  #hold(claim: HeldAddress): void {
    const { options, parts, claims } = this.#room
    parts.addresses.add(options.interface, claim.address)
    claims.hold(claim)
  }

  #drop(address: string): void {
    const { parts, claims } = this.#room
    claims.drop(address)
    try {
      this.#remove(address)
    } catch (error) {
      parts.log.error({ address, reason: String(error) }, 'an address stays here')
    }
  }

  #remove(address: string): void {
    this.#room.parts.addresses.remove(this.#room.options.interface, address)
  }
}

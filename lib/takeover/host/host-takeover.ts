import type { Socket } from 'node:net'
import type { Cache } from '../../cache/cache.ts'
import type { Clock, Timer } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { decodeCheckpoint } from '../checkpoint/codec.ts'
import type { CommitOutcome } from '../commit/commit-log.ts'
import type { Standing } from '../commit/commit-word.ts'
import { wipe } from '../connection/connection-state.ts'
import type { InterfaceAddresses } from '../native/interface-addresses.ts'
import type { Endpoint, NativeSocket } from '../native/native-socket.ts'
import type { AddressQuestion, PacketPorts } from '../native/packet-port.ts'
import { withoutMapping } from '../native/socket-address.ts'
import { endOf } from '../plan/planned-response.ts'
import type { Inheritance } from '../protection-options.ts'
import { type Bequest, Takeover, type TakeoverReport } from './address/takeover.ts'
import { type LeftConnection, TakeoverBoard } from './board/board.ts'
import { BoardKeeper } from './board/board-keeper.ts'
import type { CommitKeeper } from './board/commit-keeper.ts'
import { ConnectionTable } from './board/connection-table.ts'
import { decodeKernel } from './board/kernel-codec.ts'
import { MemberCommit } from './board/member-commit.ts'
import { type Elected, Elections } from './election/elections.ts'
import type { Fencer } from './election/fencer.ts'
import {
  type Beat,
  Heartbeats,
  type HeartbeatTimes,
  type HeldAddress,
} from './election/heartbeats.ts'
import { type Succession, successions } from './election/succession.ts'
import { Departure } from './move/departure.ts'
import type { Holding } from './move/holding.ts'
import { Moves } from './move/moves.ts'
import type { Place, ResetCause } from './restore/connection-takeover.ts'

export interface HostTakeoverOptions {
  /** This member's own virtual address, and the interface that it stands on. */
  readonly address: string
  readonly interface: string
  readonly times: HeartbeatTimes
  readonly fencer: Fencer
  /** Longest wait of an answer for others to know of it, ms. Undefined: none waits. */
  readonly commit?: number | undefined
  /** Connections of one client are written down all at once. */
  readonly bundles?: boolean | undefined
}

export interface HostTakeoverParts {
  readonly self: string
  readonly cache: Cache
  /** 32 bytes for this alone. */
  readonly key: Buffer
  readonly clock: Clock
  readonly log: Log
  readonly sockets: NativeSocket
  readonly packets: PacketPorts
  readonly addresses: InterfaceAddresses
  /** Goes on with a connection of another host. */
  adopt(socket: Socket, checkpoint: Buffer, at: Place & Inheritance): void
  /** The connections of an address that is to go to another host; undefined: they end with this. */
  holding(address: string): Holding | undefined
  onReset(cause: ResetCause): void
  /** Somebody else has the address now: what is served there must not say another word. */
  onLost(address: string): void
}

/**
 * This member's part in the takeover of hosts: it says that it lives, holds its own virtual
 * address, and takes over those of members that fell silent, when its turn comes and they are
 * fenced.
 */
export class HostTakeover {
  readonly keeper: BoardKeeper | CommitKeeper
  readonly #table: ConnectionTable
  readonly #commit: MemberCommit
  readonly #options: HostTakeoverOptions
  readonly #parts: HostTakeoverParts
  readonly #board: TakeoverBoard
  readonly #heartbeats: Heartbeats
  readonly #holds = new Map<string, HeldAddress>()
  readonly #elections: Elections
  readonly #takeovers = new Set<Takeover<Left>>()
  /** Failures that can't be helped. */
  readonly #refused = new Set<string>()
  /** To the link, of its own address; undefined while that is here, or known to be elsewhere. */
  #question: AddressQuestion | undefined
  /** Since when nobody has said to have it. */
  #freeSince = Infinity
  /** Those that may pass; said once. */
  readonly #said = new Set<string>()
  readonly #moves: Moves
  readonly #departure: Departure
  #leaving = false
  #lastEpoch = 0
  #timer: Timer | undefined
  #closed = false

  constructor(options: HostTakeoverOptions, parts: HostTakeoverParts) {
    this.#options = options
    this.#parts = parts
    const { cache, key, self, clock } = parts
    const heartbeats = new Heartbeats(self, options.times, clock.monotonic())
    this.#heartbeats = heartbeats
    this.#elections = new Elections({
      self,
      times: options.times,
      clock,
      heartbeats,
      holds: address => this.#holds.has(address),
      tell: () => this.#beat(),
    })
    this.#table = new ConnectionTable(cache, key, self)
    this.#board = new TakeoverBoard(this.#table, clock, beat => this.#heard(beat))
    this.#commit = new MemberCommit({
      self,
      clock,
      table: this.#table,
      board: this.#board,
      patience: options.commit ?? 0,
      keepsBundles: options.bundles ?? false,
      isLive: member => heartbeats.live(clock.monotonic()).includes(member),
    })
    this.keeper =
      options.commit === undefined
        ? new BoardKeeper(this.#board, clock, options.bundles ?? false)
        : this.#commit.keeper
    this.#moves = new Moves({
      self,
      table: this.#table,
      clock,
      votes: this.#elections,
      holds: (member, claim) => this.#heartbeats.holds(member, claim, clock.monotonic()),
      isLeaving: () => this.#leaving || this.#closed,
      receive: (claim, from, left) => this.#receive(claim, from, left),
    })
    this.#departure = new Departure({
      ...parts,
      heartbeats: this.#heartbeats,
      moves: this.#moves,
      letGo: address => this.#letGo(address),
    })
  }

  /** Addresses that are here now. */
  get holds(): readonly string[] {
    return [...this.#holds.keys()]
  }

  /** Answers that waited for others, by what came of it. */
  get commits(): Readonly<Record<CommitOutcome, number>> {
    return this.#commit.counts
  }

  start(): void {
    this.#commit.start()
    this.#beat()
    this.#comeHome(this.#parts.clock.monotonic())
    this.#next()
  }

  /**
   * Gives the addresses that are here to other members, with their connections (row C8). Those
   * that can't be moved are waited for, `patience` ms at most, and then cut. What nobody takes
   * stays here.
   */
  async leave(patience: number): Promise<void> {
    this.#leaving = true
    this.#stopAsking()
    await this.#departure.give([...this.#holds.values()], patience)
  }

  /** Takes its leave: nobody takes over anything for that. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    this.#stopAsking()
    this.#departure.close()
    this.#moves.close()
    for (const takeover of this.#takeovers) takeover.close()
    for (const address of this.holds) this.#drop(address)
    this.#elections.close()
    this.#beat()
    this.#commit.close()
    this.#board.close()
    this.#table.close()
  }

  #heard(beat: Beat): void {
    this.#heartbeats.heard(beat, this.#parts.clock.monotonic())
    for (const claim of beat.holds) {
      for (const names of [this.#refused, this.#said]) {
        names.delete(nameOf(beat.member, claim.address))
      }
      this.#yieldTo(claim)
    }
    this.#elections.heard(beat)
  }

  #next(): void {
    const { interval } = this.#options.times
    this.#timer = this.#parts.clock.after(interval, () => {
      this.#tick()
      if (!this.#closed) this.#next()
    })
  }

  #tick(): void {
    const { self, clock } = this.#parts
    const now = clock.monotonic()
    this.#beat()
    this.keeper.flush()
    this.#elections.review()
    const failures = this.#heartbeats.judge(now)
    for (const { member } of failures) this.#moves.failed(member)
    if (this.#leaving) return
    for (const each of successions(self, failures, this.#heartbeats, now)) {
      void this.#succeed(each)
    }
    const isLeft = failures.some(({ holds }) =>
      holds.some(({ address }) => address === this.#options.address),
    )
    if (isLeft) this.#stopAsking()
    else this.#comeHome(now)
    for (const { member, holds, since } of failures) {
      if (holds.length === 0 && now - since > remembrance) this.#forget(member)
    }
  }

  /**
   * Its own address is taken when nobody has it, and nobody is known to have had it. Whoever took it
   * over while this host was away may not be heard in the farm yet, so the link is asked as well.
   */
  #comeHome(now: number): void {
    const { address, times } = this.#options
    const isClaimed = this.#heartbeats
      .claims(now)
      .some(({ claim }) => claim.address === address)
    const isTaken = this.#holds.has(address) || this.#elections.isTaking(address)
    if (isTaken || isClaimed) {
      this.#stopAsking()
      return
    }
    if (this.#leaving) return
    const { log, packets } = this.#parts
    try {
      this.#ask(now)
      if (now - this.#freeSince < 2 * times.timeout) return
      this.#stopAsking()
      this.#hold({ address, epoch: this.#lastEpoch + 1 })
      const port = packets.open(this.#options.interface, address)
      port.announce()
      port.close()
      log.info({ address }, 'the virtual address is here')
    } catch (error) {
      const name = nameOf(this.#parts.self, address)
      if (this.#refused.has(name)) return
      this.#refused.add(name)
      log.error({ address, reason: String(error) }, 'the virtual address is not here')
    }
  }

  #ask(now: number): void {
    if (this.#question !== undefined) {
      this.#question.again()
      return
    }
    const { log, clock, packets } = this.#parts
    const { address } = this.#options
    let isSaid = false
    this.#freeSince = now
    this.#question = packets.ask(this.#options.interface, address, () => {
      this.#freeSince = clock.monotonic()
      if (isSaid) return
      isSaid = true
      log.warn(
        { address },
        'another host on the link has the virtual address: it stays there',
      )
    })
  }

  #stopAsking(): void {
    this.#question?.close()
    this.#question = undefined
  }

  async #succeed({ failed, claim, hasQuorum }: Succession): Promise<void> {
    const { address } = claim
    const { log } = this.#parts
    const name = nameOf(failed, address)
    const isOurs = this.#holds.has(address) || this.#elections.isTaking(address)
    if (isOurs || this.#refused.has(name)) return
    if (!hasQuorum) {
      if (this.#said.has(name)) return
      this.#said.add(name)
      this.#commit.distrust()
      log.error(
        { member: failed, address },
        'a member is silent, and most others too: this one may be cut off itself, and takes nothing over',
      )
      return
    }
    const elected = await this.#elections.stand(failed, claim)
    if (elected === undefined) return
    try {
      await this.#inherit(failed, claim, elected)
    } catch (error) {
      if (this.#closed) return
      log.error({ address, reason: String(error) }, 'an address could not be taken over')
      this.#refused.add(name)
    } finally {
      this.#elections.end(address)
    }
  }

  /** Throws when the address does not come. */
  async #inherit(
    failed: string,
    held: HeldAddress,
    { claim, toFence }: Elected,
  ): Promise<void> {
    const { address } = claim
    const { log, clock } = this.#parts
    const begun = clock.monotonic()
    log.warn({ member: failed, address }, 'a member is silent and is being fenced')
    const isFenced = await this.#fence(toFence)
    if (this.#closed) return
    // In a later move than the next one somebody may have gone on from the same words.
    const isNext = claim.epoch === held.epoch + 1
    const bequests = toFence
      .flatMap(member => {
        const committed = this.#commit.of(member)
        const isFirst = isNext && member === failed
        return [
          ...this.#board.of(member),
          ...(isFirst ? committed : committed.map(loose)),
        ]
      })
      .flatMap(left => this.#bequestOf(left, address))
    if (!isFenced) {
      this.#commit.distrust()
      this.#refused.add(nameOf(failed, address))
      for (const _ of bequests) this.#parts.onReset('unfenced')
      const text = 'it could not be fenced, and keeps its address'
      log.error({ member: failed, address }, text)
      return
    }
    for (const member of toFence) this.#commit.fenced(member)
    const fencing = Math.round(clock.monotonic() - begun)
    const { served, reset, wait } = await this.#goOn(claim, bequests)
    log.warn(
      { member: failed, address, fencing, wait: Math.round(wait), served, reset },
      'the address of a silent member is here, and its connections go on',
    )
    for (const member of toFence) {
      if (this.#heartbeats.hasNothing(member)) this.#forget(member)
    }
  }

  async #fence(members: readonly string[]): Promise<boolean> {
    const { fencer } = this.#options
    const done = await Promise.all(
      members.map(async member => {
        // Not the one that moves: that may be of a host that died long before this one.
        const own = this.#heartbeats.addressOf(member)
        if (own === undefined || !(await fencer.fence(member, own))) return false
        this.#heartbeats.fenced(member)
        return true
      }),
    )
    return done.every(isFenced => isFenced)
  }

  #forget(member: string): void {
    this.#heartbeats.forget(member)
    this.#board.forget(member)
    this.#commit.forget(member)
  }

  /** Throws when the address does not come. */
  async #goOn(
    claim: HeldAddress,
    bequests: readonly Bequest<Left>[],
  ): Promise<TakeoverReport> {
    const { clock, sockets, packets } = this.#parts
    const takeover = new Takeover<Left>(
      {
        sockets,
        port: packets.open(this.#options.interface, claim.address),
        device: this.#options.interface,
        clock,
        bring: async () => this.#bring(claim),
        serve: (socket, { checkpoint, standing }, place) =>
          this.#parts.adopt(socket, checkpoint, { ...place, standing }),
        onReset: (_subject, cause) => this.#parts.onReset(cause),
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
    const { log } = this.#parts
    const { address } = claim
    try {
      const bequests = left.flatMap(each => this.#bequestOf(each, address, true))
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

  /** Nothing for what can't be gone on with: its client meets a host that does not know it. */
  #bequestOf(
    { checkpoint: bytes, toldAt, acked, standing }: LeftConnection,
    address: string,
    isMoved = false,
  ): Bequest<Left>[] {
    try {
      const checkpoint = decodeCheckpoint(bytes)
      const { kernel, owed, at, readPosition, transport } = checkpoint
      const [local, remote] = [ipv4(checkpoint.local), ipv4(checkpoint.remote)]
      wipe(transport)
      if (local.address !== address) return []
      const { tcp, readAt } = decodeKernel(kernel)
      const owedUntil = owed?.response && endOf(owed.response.planned)
      const told = { local, remote, tcp, acked, readPosition, owedUntil }
      const known = { ...told, isExact: isMoved }
      const subject = { checkpoint: bytes, standing }
      return [{ known: { ...known, toldAt: toldAt - (at - readAt) }, subject }]
    } catch {
      this.#parts.onReset('lost')
      return []
    }
  }

  /** It was closed while the clients were asked: then the address is nobody's. */
  #bring(claim: HeldAddress): void {
    if (this.#closed) throw new Error('this member is leaving')
    const { address, epoch } = claim
    const isPast = this.#heartbeats
      .beats()
      .some(({ holds }) => holds.some(o => o.address === address && o.epoch > epoch))
    if (isPast) throw new Error('another member has it by now')
    this.#hold(claim)
  }

  #hold(claim: HeldAddress): void {
    this.#parts.addresses.add(this.#options.interface, claim.address)
    this.#holds.set(claim.address, claim)
    this.#heartbeats.took(claim)
    this.#beat()
  }

  /** A newer owner of an address of ours: we were taken for dead. */
  #yieldTo({ address, epoch }: HeldAddress): void {
    this.#lastEpoch = Math.max(this.#lastEpoch, epoch)
    const own = this.#holds.get(address)
    if (own === undefined || own.epoch >= epoch) return
    this.#parts.log.error(
      { address },
      'another member has taken over the virtual address',
    )
    this.#commit.distrust()
    this.#parts.onLost(address)
    this.#drop(address)
  }

  /** By an order of this member's own: throws when the address stays. */
  #letGo(address: string): void {
    this.#parts.addresses.remove(this.#options.interface, address)
    this.#holds.delete(address)
    this.#beat()
  }

  #drop(address: string): void {
    this.#holds.delete(address)
    try {
      this.#parts.addresses.remove(this.#options.interface, address)
    } catch (error) {
      this.#parts.log.error({ address, reason: String(error) }, 'an address stays here')
    }
  }

  #beat(): void {
    const { takes, votes } = this.#elections
    const holds = [...this.#holds.values()]
    const { address: home } = this.#options
    const isLeaving = this.#closed
    this.#board.beat({ member: this.#parts.self, holds, takes, votes, home, isLeaving })
  }
}

/** Milliseconds for which one is remembered that has left, and has nothing. */
const remembrance = 60_000

/** A connection that was another host's. */
interface Left {
  readonly checkpoint: Buffer
  readonly standing: Standing
}

function loose(left: LeftConnection): LeftConnection {
  return left.standing === 'exact' ? { ...left, standing: 'loose' } : left
}

function ipv4({ address, port }: Endpoint): Endpoint {
  return { address: withoutMapping(address), port }
}

function nameOf(member: string, address: string): string {
  return `${member} ${address}`
}

import type { Timer } from '../../clock.ts'
import type { CommitOutcome } from '../commit/commit-log.ts'
import { AddressEstate } from './address/address-estate.ts'
import { Bequests } from './bequests.ts'
import { TakeoverBoard } from './board/board.ts'
import { BoardKeeper } from './board/board-keeper.ts'
import type { CommitKeeper } from './board/commit-keeper.ts'
import { ConnectionTable } from './board/connection-table.ts'
import { MemberCommit } from './board/member-commit.ts'
import { Claims } from './claims.ts'
import { Elections } from './election/elections.ts'
import { type Beat, Heartbeats, heldBy } from './election/heartbeats.ts'
import { successions } from './election/succession.ts'
import type { Estate, EstateCounts } from './estate.ts'
import type { HostTakeoverOptions, HostTakeoverParts } from './host-takeover-parts.ts'
import { Inheritor } from './inheritor.ts'
import { FlowIndex } from './switch/flow-index.ts'
import { SeatEstate } from './switch/seat-estate.ts'

/** Milliseconds for which one is remembered that has left, and has nothing. */
const remembrance = 60_000
const mostStrangers = 100

/**
 * This member's part in the takeover of hosts: it says that it lives, holds what is its own, and
 * takes over what members held that fell silent, when its turn comes and they are fenced.
 */
export class HostTakeover {
  readonly keeper: BoardKeeper | CommitKeeper
  readonly #options: HostTakeoverOptions
  readonly #parts: HostTakeoverParts
  readonly #table: ConnectionTable
  readonly #board: TakeoverBoard
  readonly #commit: MemberCommit
  readonly #heartbeats: Heartbeats
  readonly #claims: Claims
  readonly #elections: Elections
  readonly #index: FlowIndex
  readonly #estate: Estate
  readonly #inheritor: Inheritor
  /** Members that were said to be of another kind. */
  readonly #strangers = new Set<string>()
  #isLeaving = false
  #timer: Timer | undefined
  #closed = false

  constructor(options: HostTakeoverOptions, parts: HostTakeoverParts) {
    this.#options = options
    this.#parts = parts
    const { cache, key, self, clock, onReset } = parts
    const heartbeats = new Heartbeats(self, options.times, clock.monotonic())
    const claims = new Claims({ heartbeats, tell: () => this.#beat() })
    const elections = new Elections({
      ...{ self, times: options.times, clock, heartbeats },
      holds: address => claims.of(address) !== undefined,
      tell: () => this.#beat(),
    })
    const table = new ConnectionTable(cache, key, self)
    const index: FlowIndex = new FlowIndex((owner, about) => [
      ...board.at(owner, about),
      ...commit.at(owner, about, undefined),
    ])
    const words = options.shared && index
    const listener = {
      onBeat: (beat: Beat) => this.#heard(beat),
      onStranger: (member: string) => this.#met(member),
      words,
    }
    const board = new TakeoverBoard(
      table,
      clock,
      listener,
      options.shared && options.address,
    )
    const commit = new MemberCommit({
      ...{ self, clock, table, board, listener: words },
      patience: options.commit ?? 0,
      keepsBundles: options.bundles ?? false,
      isLive: member => heartbeats.live(clock.monotonic()).includes(member),
    })
    const bequests = new Bequests({ board, commit, onReset })
    const room = {
      ...{ options, parts, table, heartbeats, elections, claims, bequests, index },
      distrust: () => commit.distrust(),
    }
    const estate = options.shared ? new SeatEstate(room) : new AddressEstate(room)
    this.#index = index
    this.#heartbeats = heartbeats
    this.#claims = claims
    this.#elections = elections
    this.#table = table
    this.#board = board
    this.#commit = commit
    this.#estate = estate
    this.#inheritor = new Inheritor({
      ...{ ...parts, ...room, commit, estate, fencer: options.fencer },
      forget: member => this.#forget(member),
      isClosed: () => this.#closed,
    })
    this.keeper =
      options.commit === undefined
        ? new BoardKeeper(board, clock, options.bundles ?? false)
        : commit.keeper
  }

  /** Addresses that are here now. */
  get holds(): readonly string[] {
    return this.#estate.addresses
  }

  /** See Estate. */
  get counts(): EstateCounts {
    return this.#estate.counts
  }

  /** Answers that waited for others, by what came of it. */
  get commits(): Readonly<Record<CommitOutcome, number>> {
    return this.#commit.counts
  }

  start(): void {
    this.#commit.start()
    this.#beat()
    this.#estate.tend([], this.#parts.clock.monotonic())
    this.#next()
  }

  /**
   * Gives what is here to other members, with its connections (row C8). Those that can't be moved
   * are waited for, `patience` ms at most, and then cut. What nobody takes stays here.
   */
  async leave(patience: number): Promise<void> {
    this.#isLeaving = true
    await this.#estate.leave(patience)
  }

  /** Takes its leave: nobody takes over anything for that. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    const closed = this.#estate.close()
    this.#elections.close()
    this.#beat()
    this.#commit.close()
    this.#board.close()
    this.#table.close()
    await closed
  }

  #heard(beat: Beat): void {
    this.#heartbeats.heard(beat, this.#parts.clock.monotonic())
    for (const claim of heldBy(beat)) {
      this.#inheritor.seen(beat.member, claim)
      if (this.#claims.heard(claim)) this.#estate.lose(claim.address)
    }
    this.#elections.heard(beat)
  }

  /** Of another kind of takeover, or of another address. */
  #met(member: string): void {
    if (this.#strangers.has(member)) return
    if (this.#strangers.size >= mostStrangers) this.#strangers.clear()
    this.#strangers.add(member)
    this.#parts.log.error(
      { member },
      'a member has another address under takeover, shared by others, or has one of its own where ' +
        'this one shares: neither takes anything over from the other',
    )
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
    this.#estate.tend(failures, now)
    if (this.#isLeaving) return
    for (const each of successions(self, failures, this.#heartbeats, now)) {
      void this.#inheritor.succeed(each)
    }
    for (const { member, holds, since } of failures) {
      if (holds.length === 0 && now - since > remembrance) this.#forget(member)
    }
  }

  #forget(member: string): void {
    this.#heartbeats.forget(member)
    this.#index.forget(member)
    this.#board.forget(member)
    this.#commit.forget(member)
  }

  #beat(): void {
    const { takes, votes } = this.#elections
    const { address, shared } = this.#options
    const { self: member } = this.#parts
    const { all: holds, decided } = this.#claims
    this.#board.beat({
      ...{ member, holds, takes, votes, isLeaving: this.#closed },
      ...(shared && { decides: decided, shared: address }),
      home: shared?.host ?? address,
    })
  }
}

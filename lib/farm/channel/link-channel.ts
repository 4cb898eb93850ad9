import { type Address, formatAddress } from '../../address.ts'
import type { Log } from '../../log.ts'
import type { TableId } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import { frameTypes, maxMessageLength, notAllowed } from '../../wire/frame.ts'
import type { Carrier } from '../../wire/frame-greeting.ts'
import type { InboundLink } from '../link/inbound-link.ts'
import type { OutboundLink } from '../link/outbound-link.ts'
import { refusedError } from '../link/refusal.ts'
import { closedError, FarmLinks, identify } from '../mesh/links.ts'
import type { MeshOwner } from '../mesh/mesh-parts.ts'
import type { StreamOptions } from '../mesh/options.ts'
import type { AbsentMember, Member, TransportStats } from '../transport.ts'
import { AnswerBudget } from './answer-budget.ts'
import type { Among, ControlChannel, ControlListener } from './control-channel.ts'
import { Questions } from './questions.ts'

/** With so many bytes waiting, what can be had again is not sent. */
const spareBytes = 512 * 1024
/** With so many, the member does not read, and is cut. */
const mostBytes = 4 * 1024 * 1024

/**
 * What the engines of two members say to each other, and questions for single records. There
 * are two between any two members, each dialled by one of them; messages pass, both
 * ways, over the one that was dialled by the member with the lower name. So there is one
 * order, and one end. Questions for single records go over the links that we dialled.
 */
export class LinkChannel implements ControlChannel {
  readonly #links: FarmLinks
  readonly #questions: Questions
  /** The link by which messages pass, by member. */
  readonly #up = new Map<string, OutboundLink | InboundLink>()
  readonly #toldRefused = new Set<string>()
  readonly #answers: AnswerBudget
  readonly #log: Log
  readonly #startTimeout: number
  #listener: ControlListener | undefined
  #state: 'idle' | 'joining' | 'ready' | 'closed' = 'idle'
  #startedAt = 0
  #joined: { resolve: () => void; reject: (error: Error) => void } | undefined
  readonly #counts = { messagesIn: 0, messagesOut: 0, messagesDropped: 0, linksCut: 0 }
  readonly #clock: StreamOptions['clock']

  /** `carrier`: how the members send their records; all must do the same. */
  constructor(options: StreamOptions, carrier: Carrier) {
    const { clock, replica } = options
    const identity = identify(options)
    this.#clock = clock
    const { fetchRate, fetchBurst, joinTimeout } = identity.limits
    this.#startTimeout = joinTimeout
    this.#log = identity.log
    this.#answers = new AnswerBudget(clock, replica)
    this.#questions = new Questions({
      clock,
      rate: fetchRate,
      burst: fetchBurst,
      onTombstone: record => void replica.apply(record),
    })
    this.#links = new FarmLinks({
      options,
      identity,
      carrier,
      owner: this.#linksOwner(),
      onTick: () => this.#step(),
      onResolved: () => this.#step(),
    })
  }

  /** What it listens on, once started. */
  get listening(): Address | undefined {
    return this.#links.address
  }

  get address(): string | undefined {
    return this.#links.dialAddress
  }

  get id(): string {
    return this.#links.self.id
  }

  get incarnation(): number {
    return this.#links.self.incarnation
  }

  listen(listener: ControlListener): void {
    this.#listener = listener
  }

  async start(): Promise<void> {
    if (this.#state !== 'idle') throw closedError()
    this.#state = 'joining'
    this.#startedAt = this.#clock.monotonic()
    const joined = new Promise<void>((resolve, reject) => {
      this.#joined = { resolve, reject }
    })
    // Awaited below; closing while the port opens rejects it before that.
    joined.catch(() => {})
    await this.#links.open()
    await joined
  }

  send(to: string, message: Buffer, spare = false): void {
    const link = this.#up.get(to)
    if (link === undefined || link.link.ended) return
    if (message.length > maxMessageLength) {
      throw new RangeError(`a message has at most ${maxMessageLength} bytes`)
    }
    const { waiting } = link.link
    if (spare && waiting > spareBytes) {
      this.#counts.messagesDropped += 1
      return
    }
    if (waiting > mostBytes) {
      this.#counts.linksCut += 1
      // Not now: whoever sends is in the middle of something, and will be told of the end.
      setImmediate(() => link.destroy(new Error('the member does not read')))
      return
    }
    this.#counts.messagesOut += 1
    link.link.send(frameTypes.message, message)
  }

  onceDrained(to: string, fn: () => void): void {
    this.#up.get(to)?.link.onceDrained(fn)
  }

  fetch(
    table: TableId,
    key: Buffer,
    budget: number,
    among?: Among,
  ): Promise<CacheRecord | undefined> {
    const { outbound } = this.#links.mesh
    const members =
      among === undefined
        ? [...outbound.values()]
        : among.ids.flatMap(id => outbound.get(id) ?? [])
    const ready = members.filter(({ peerState }) => peerState === 'ready')
    return this.#questions.ask(ready, table, key, budget, among?.asks)
  }

  ahead(id: string): number {
    return this.#up.get(id)?.link.time.ahead ?? 0
  }

  absent(): AbsentMember[] {
    return this.#links.absent(({ id }) => this.#up.has(id))
  }

  members(): Member[] {
    return this.#links.mesh.members()
  }

  /** Tells the others that this member holds what they hold. */
  ready(): void {
    this.#links.mesh.setState('ready')
  }

  stats(): TransportStats {
    const { asked, found, limited, late, members, foundFirst } = this.#questions.counts
    return {
      ...this.#links.stats,
      ...this.#counts,
      fetches: asked,
      fetchHits: found,
      fetchHitsFirst: foundFirst,
      fetchesAsked: members,
      fetchesLimited: limited,
      answersLate: late,
      answersGiven: this.#answers.given,
      answersRefused: this.#answers.refused,
    }
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#questions.close()
    this.#joined?.reject(closedError())
    await this.#links.close()
  }

  #linksOwner(): MeshOwner {
    return {
      outbound: {
        onAnswer: (link, answer) => this.#questions.answer(link, answer),
        onMessage: (link, message) => this.#onMessage(link, message),
      },
      inbound: {
        onGet: (link, question) => this.#answers.answer(link, question),
        onMessage: (link, message) => this.#onMessage(link, message),
      },
      onLinked: link => {
        if (this.#dialsItself(link)) this.#connected(link)
        this.#step()
      },
      onGreeted: link => {
        if (link.peer !== undefined && link.peer.id < this.id) this.#connected(link)
        this.#step()
      },
      onOutboundEnd: link => {
        this.#questions.lost(link)
        this.#ended(link)
      },
      onInboundEnd: link => this.#ended(link),
      onGone: id => {
        if (!this.#up.has(id)) this.#listener?.gone?.(id)
      },
      onChange: () => this.#step(),
    }
  }

  /** Messages pass over the link that we dialled. */
  #dialsItself({ peer }: OutboundLink): boolean {
    return peer !== undefined && this.id < peer.id
  }

  #connected(link: OutboundLink | InboundLink): void {
    const { peer } = link
    if (peer === undefined || this.#state === 'closed') return
    if (this.#up.has(peer.id)) this.#listener?.down(peer.id)
    this.#up.set(peer.id, link)
    this.#toldRefused.delete(peer.id)
    const address = this.#links.mesh.members().find(({ id }) => id === peer.id)?.address
    this.#listener?.up({ id: peer.id, host: link.link.remoteHost, address })
  }

  #ended(link: OutboundLink | InboundLink): void {
    const { peer } = link
    if (peer === undefined || this.#up.get(peer.id) !== link) return
    this.#up.delete(peer.id)
    if (this.#state === 'closed') return
    this.#listener?.down(peer.id)
    if (!this.#links.mesh.awaits(peer)) this.#listener?.gone?.(peer.id)
  }

  #onMessage(link: OutboundLink | InboundLink, message: Buffer): void {
    const id = link.peer?.id
    if (id === undefined || this.#up.get(id) !== link) {
      throw notAllowed(frameTypes.message)
    }
    this.#counts.messagesIn += 1
    this.#listener?.message(id, message)
  }

  #tellRefused(): void {
    for (const { id, state } of this.members()) {
      if (state !== 'refused') continue
      if (this.#up.has(id) || this.#toldRefused.has(id)) continue
      this.#toldRefused.add(id)
      this.#listener?.refused?.(id)
    }
  }

  /** Are all connected that can be? */
  #step(): void {
    this.#tellRefused()
    if (this.#state !== 'joining') return
    const { mesh } = this.#links
    const elapsed = this.#clock.monotonic() - this.#startedAt
    // A member that answered us also dials us; which link comes first is chance.
    const awaited = [...mesh.outbound.keys()].filter(id => !this.#up.has(id))
    const complete = awaited.length === 0 && !this.#links.untried
    if (!complete && elapsed < this.#startTimeout) return
    for (const member of awaited) {
      const { listening } = this
      this.#log.warn(
        { member, listening: listening && formatAddress(listening) },
        'this member answers, but does not connect to this one: the farm port must be open ' +
          'between them in both directions, and not on the loopback address alone',
      )
    }
    if (mesh.outbound.size === 0 && mesh.refusals.size > 0) {
      this.#joined?.reject(refusedError(mesh.refusals))
      return
    }
    this.#state = 'ready'
    this.#links.rest()
    this.#joined?.resolve()
  }
}

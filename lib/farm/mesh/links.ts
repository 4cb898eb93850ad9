import { randomBytes } from 'node:crypto'
import { type Address, formatAddress, parseAddress } from '../../address.ts'
import type { Timer } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import { HybridClock } from '../../record/hybrid-clock.ts'
import { type Carrier, memberIdPattern } from '../../wire/frame-greeting.ts'
import type { Traffic } from '../link/frame-link.ts'
import { Listener } from '../link/listener.ts'
import { diallerOptions, farmPsk } from '../link/psk.ts'
import { parseSecret } from '../secret.ts'
import type { AbsentMember, TransportStats } from '../transport.ts'
import type { Life } from './life.ts'
import { MemberAddresses } from './member-addresses.ts'
import { Mesh } from './mesh.ts'
import type { MeshOwner } from './mesh-parts.ts'
import { type StreamLimits, type StreamOptions, streamLimits } from './options.ts'

/** While joining, every step waits for one; later they only keep heartbeats and deadlines. */
const joiningTick = 100
const restingTick = 250
/** A tick that comes so much too late says that our own loop was held up. */
const lateTick = 200
const closeLimit = 500

/** Who this member is, and by which limits it keeps. */
export interface Identity {
  readonly self: Life
  readonly limits: StreamLimits
  readonly log: Log
}

export interface FarmLinksParts {
  readonly options: StreamOptions
  readonly identity: Identity
  readonly carrier: Carrier
  readonly owner: MeshOwner
  /** A moment has passed, and the links were looked after. */
  onTick(): void
  /** The names of members were looked up. */
  onResolved(): void
}

/**
 * This member's port and its links to all others: opens the one, dials the others, and keeps
 * them in time. What flows over the links is their owner's business.
 */
export class FarmLinks {
  readonly self: Life
  readonly mesh: Mesh
  readonly #parts: FarmLinksParts
  readonly #traffic: Traffic = { framesIn: 0, framesOut: 0, bytesIn: 0, bytesOut: 0 }
  readonly #addresses: MemberAddresses
  readonly #listener: Listener
  #address: Address | undefined
  #resolved = false
  #resting = false
  #closed = false
  #tickTimer: Timer | undefined
  #resolveTimer: Timer | undefined
  #lateTicks = 0
  #openedAt = 0

  constructor(parts: FarmLinksParts) {
    const { options, carrier, owner } = parts
    const { clock, farmName, listen, advertise } = options
    const { versions = new HybridClock(clock, 0) } = options
    const { self, limits, log } = parts.identity
    this.#parts = parts
    this.self = self
    const psk = farmPsk(parseSecret(options.secret), farmName)
    this.#addresses = new MemberAddresses({
      members: options.members ?? [],
      defaultPort: listen.port,
      resolve: options.resolve,
      timeout: limits.joinTimeout,
      clock,
      log,
    })
    this.#listener = new Listener({
      psk,
      clock,
      log,
      handshakeTimeout: limits.handshakeTimeout,
      maxStrangers: limits.maxStrangers,
      onMember: socket => this.mesh.accept(socket),
    })
    this.mesh = new Mesh({
      self,
      carrier,
      advertise: advertise === undefined ? '' : formatAddress(parseAddress(advertise)),
      tls: diallerOptions(psk),
      clock,
      versions,
      log,
      random: options.random ?? Math.random,
      limits,
      traffic: this.#traffic,
      owner,
    })
  }

  /** What it listens on, once open. */
  get address(): Address | undefined {
    return this.#address
  }

  /** `host:port` that others should dial. */
  get dialAddress(): string | undefined {
    const { advertise } = this.#parts.options
    return advertise ?? (this.#address && formatAddress(this.#address))
  }

  /** There are members of which nothing is known yet. */
  get untried(): boolean {
    return !this.#resolved || this.mesh.untried
  }

  /** See Transport. `reaches`: what is sent now gets to this member. */
  absent(reaches: (life: Life) => boolean): AbsentMember[] {
    const { clock } = this.#parts.options
    const away = clock.monotonic() - this.#openedAt
    const unknown = this.#addresses.unresolved.map(address => {
      return { id: undefined, address, away }
    })
    return [...this.mesh.absent(reaches), ...unknown]
  }

  get stats(): TransportStats {
    return {
      linksOut: this.mesh.outbound.size,
      linksIn: this.mesh.inbound.size,
      linksLost: this.mesh.linksLost,
      ...this.#traffic,
      lateTicks: this.#lateTicks,
      strangers: this.#listener.strangers,
      refusedStrangers: this.#listener.refused,
    }
  }

  async open(): Promise<void> {
    const { host, port } = this.#parts.options.listen
    const bound = await this.#listener.listen(host, port)
    if (this.#isClosed()) {
      await this.#listener.close()
      throw closedError()
    }
    this.#address = { host: bound.address, port: bound.port }
    this.#openedAt = this.#parts.options.clock.monotonic()
    this.mesh.open(bound.port)
    this.#tick(this.#parts.options.clock.monotonic())
    this.#resolveMembers()
  }

  /** Nothing is waited for any more: time may pass in longer steps. */
  rest(): void {
    this.#resting = true
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#tickTimer?.cancel()
    this.#resolveTimer?.cancel()
    await Promise.all([this.mesh.close(closeLimit), this.#listener.close()])
  }

  #tick(expectedAt: number): void {
    const { options, onTick } = this.#parts
    const now = options.clock.monotonic()
    const late = now - expectedAt > lateTick
    if (late) this.#lateTicks += 1
    this.mesh.tick(late)
    onTick()
    if (this.#isClosed()) return
    const interval = this.#resting ? restingTick : joiningTick
    this.#tickTimer = options.clock.after(interval, () => this.#tick(now + interval))
  }

  #resolveMembers(): void {
    const { options, identity, onResolved } = this.#parts
    const done = (addresses: string[]) => {
      if (this.#isClosed()) return
      this.mesh.configure(addresses)
      this.#resolved = true
      onResolved()
      if (!this.#addresses.hasNames) return
      const { resolveInterval } = identity.limits
      this.#resolveTimer = options.clock.after(resolveInterval, () =>
        this.#resolveMembers(),
      )
    }
    // `resolve` reports its failures itself and answers with what it knows.
    this.#addresses.resolve().then(done, () => done([]))
  }

  /** A method, for the compiler can't know that a wait may have changed the state. */
  #isClosed(): boolean {
    return this.#closed
  }
}

export function closedError(): HandfastError {
  return new HandfastError('ERR_HANDFAST_CLOSED', 'the transport was closed')
}

export function identify(options: StreamOptions): Identity {
  const { memberId, incarnation, farmName } = options
  const id = memberId ?? randomBytes(8).toString('hex')
  if (!memberIdPattern.test(id)) {
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      `memberId must have 1 to 64 of A-Z a-z 0-9 _ . : @ -, got "${id}"`,
    )
  }
  return {
    // Must be another at each start, for sequence numbers begin anew.
    self: { id, incarnation: incarnation ?? randomBytes(6).readUIntBE(0, 6) },
    limits: streamLimits(options),
    log: options.log.child({ farm: farmName, self: id }),
  }
}

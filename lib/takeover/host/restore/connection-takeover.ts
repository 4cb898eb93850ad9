import type { Endpoint, RestorePoint, TcpParameters } from '../../native/native-socket.ts'
import { type BareSegment, flag, type Segment } from '../../native/packets/segment.ts'
import { positionOf, sequenceAt, signedDistance } from '../../native/sequence.ts'
import { type TakeoverTimes, takeoverTimes } from './takeover-times.ts'

/** What the host that is gone told of a connection. Positions are bytes since it was accepted. */
export interface KnownConnection {
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly tcp: TcpParameters
  /** So much the client had acknowledged at least. */
  readonly acked: number
  /** So much was taken from the client. */
  readonly readPosition: number
  /** Where the response ends that the client may be waiting for. Undefined: for none. */
  readonly owedUntil: number | undefined
  /** By our own steady clock, when `tcp.timestamp` was true. */
  readonly toldAt: number
  /**
   * The other host has taken nothing from the client that it did not tell of: what the client has
   * said since was acknowledged by nobody, and it says it again. Default: it may have.
   */
  readonly isExact?: boolean | undefined
}

/**
 * - `known`: nothing has been done.
 * - `probed`: the client was asked where it is.
 * - `held`: the same, and a socket without a voice keeps the kernel from refusing its answer.
 * - `restored`: a socket stands where the client is. The address is not here yet.
 * - `watched`: it is served, and what the client says is compared with what was sent to it.
 * - `over`: it is left to the kernel, or given up.
 */
export type TakeoverState = 'known' | 'probed' | 'held' | 'restored' | 'watched' | 'over'

export type TakeoverEvent =
  | { readonly kind: 'begin' }
  /** Something of the client. `sent`, `received`: what our socket tells, bytes since restored. */
  | {
      readonly kind: 'segment'
      readonly segment: Segment
      readonly sent: number
      readonly received: number
    }
  /** The address is about to come here: whoever has not answered is to be held. */
  | { readonly kind: 'hold' }
  /** The address is here. */
  | { readonly kind: 'here' }
  /** Time has passed. `sent`, `received`: as above. */
  | { readonly kind: 'tick'; readonly sent: number; readonly received: number }
  /** Our own side has ended it. */
  | { readonly kind: 'closed' }
  /** It can't be gone on with, for a reason of the application's or the kernel's. */
  | { readonly kind: 'refused'; readonly cause: ResetCause }

/**
 * Why a connection was reset:
 *
 * - `unanswered`: the client said nothing to any probe.
 * - `unheard`: it has said something that died with the other host, and did not say it again.
 * - `spoke`: the same, while a response had to be mended once more.
 * - `unstable`: that was so too often.
 * - `lost`: what was told of it can't be read.
 * - `kernel`: the kernel refused the socket.
 * - `unfenced`: nobody could say that the other host is silent.
 */
export type ResetCause =
  | 'unanswered'
  | 'unheard'
  | 'spoke'
  | 'unstable'
  | 'lost'
  | 'kernel'
  | 'unfenced'

export type TakeoverAction =
  | { readonly kind: 'send'; readonly segment: BareSegment }
  /** In the place of the socket that may be there, which is to be silenced. */
  | { readonly kind: 'restore'; readonly point: RestorePoint }
  /** The socket is to speak, and somebody to go on with the connection from here. */
  | { readonly kind: 'serve'; readonly place: Place }
  /** The socket that may be there is to go: with a reset when it was served, else without a word. */
  | { readonly kind: 'reset'; readonly cause: ResetCause }
  /** The client itself has ended it, or there is nothing to watch for any more. */
  | { readonly kind: 'done' }

/** Where the client is. */
export interface Place {
  /** It has all bytes before this one. */
  readonly position: number
  /** The next byte that is to be heard of it. */
  readonly readPosition: number
  /** It said something that nobody knows any more: after this response the connection ends. */
  readonly last: boolean
  /** How often it was gone on with before. */
  readonly healed: number
}

/** By so much the probe's timestamp is ahead of where the clock should be, for each try, ms. */
const leads = [1_000, 1_000, 30_000, 30_000, 600_000]
/** What a probe says that there is room for; nothing comes of it. */
const probeWindow = 1024
/** No window is larger (RFC 7323 2.3). */
const largestWindow = 2 ** 30
const mostHealings = 8

/** Asks the client of a connection where it is, once; see ConnectionTakeover. */
export function probeOf(known: KnownConnection, now: number): BareSegment[] {
  const begun = new ConnectionTakeover(known).handle({ kind: 'begin' }, now)
  return begun.flatMap(action => (action.kind === 'send' ? [action.segment] : []))
}

/**
 * One connection of a host that is gone, from what was told of it to a socket that the client
 * takes for the old one (row C5): a probe with one byte that the client has had long ago, which it
 * answers with where it is (RFC 9293 3.10.7.4: "an acceptable ACK is sent for an unacceptable
 * segment"); a socket restored there; and, for some seconds, a look at what it acknowledges. When
 * that is more than we have sent, it holds bytes of the other host that came late or beyond a gap,
 * and the kernel would wait for ever: then all is done again from there.
 *
 * Pure: events and the time in, actions out.
 */
export class ConnectionTakeover {
  readonly #known: KnownConnection
  readonly #times: TakeoverTimes
  #state: TakeoverState = 'known'
  #probes = 0
  #nextProbe = 0
  #begun = 0
  #servedAt = 0
  #isHere = false
  #place: Place
  /** Of the client: it is further than the socket that was made, and maybe further still. */
  #newer: (Newer & { readonly due: number }) | undefined
  /** It has yet to say again what it said. */
  #isUnheard = false

  constructor(known: KnownConnection, times: TakeoverTimes = takeoverTimes) {
    this.#known = known
    this.#times = times
    const { acked, readPosition } = known
    this.#place = { position: acked, readPosition, last: false, healed: 0 }
  }

  get state(): TakeoverState {
    return this.#state
  }

  /** When `tick` is due. */
  get deadline(): number | undefined {
    switch (this.#state) {
      case 'probed':
      case 'held':
        return Math.min(this.#nextProbe, this.#begun + this.#times.patience)
      case 'watched': {
        const { hearing, watch } = this.#times
        const end = this.#servedAt + (this.#isUnheard ? Math.min(hearing, watch) : watch)
        return Math.min(end, this.#newer?.due ?? end)
      }
      default:
        return undefined
    }
  }

  handle(event: TakeoverEvent, now: number): TakeoverAction[] {
    if (this.#state === 'over') return []
    switch (event.kind) {
      case 'begin':
        this.#begun = now
        this.#state = 'probed'
        return [this.#probe(now)]
      case 'segment':
        return this.#onSegment(event.segment, event.sent, now)
      case 'hold':
        if (this.#state !== 'probed') return []
        this.#state = 'held'
        return [{ kind: 'restore', point: this.#holdingPoint(now) }]
      case 'here':
        this.#isHere = true
        if (this.#state !== 'restored') return []
        return this.#newer === undefined ? this.#serve(now) : this.#meet(this.#newer, now)
      case 'tick':
        return this.#onTick(event.sent, event.received, now)
      case 'closed':
        this.#state = 'over'
        return [{ kind: 'done' }]
      case 'refused':
        return this.#reset(event.cause)
    }
  }

  #onTick(sent: number, received: number, now: number): TakeoverAction[] {
    if (this.#state === 'probed' || this.#state === 'held') {
      if (now >= this.#begun + this.#times.patience) return this.#reset('unanswered')
      return now >= this.#nextProbe ? [this.#probe(now)] : []
    }
    if (this.#state !== 'watched') return []
    if (received > 0) this.#isUnheard = false
    const newer = this.#newer
    if (newer !== undefined && now >= newer.due) {
      this.#newer = undefined
      if (newer.place.position > this.#place.position + sent) {
        return received > 0 ? this.#reset('spoke') : this.#heal(newer, now)
      }
    }
    if (this.#isUnheard && now >= this.#servedAt + this.#times.hearing) {
      return this.#reset('unheard')
    }
    if (now < this.#servedAt + this.#times.watch) return []
    this.#state = 'over'
    return [{ kind: 'done' }]
  }

  #onSegment(segment: Segment, sent: number, now: number): TakeoverAction[] {
    const place = this.#placeOf(segment)
    if (place === undefined) return []
    if ((segment.flags & flag.rst) !== 0) {
      this.#state = 'over'
      return [{ kind: 'done' }]
    }
    if (this.#state === 'probed' || this.#state === 'held') {
      this.#place = place
      return this.#restore(segment, now)
    }
    // Packets of the other host, which are still on their way: the newest word counts, and the
    // socket that stands where they find it would have to be made anew for each of them.
    const known = this.#newer?.place.position ?? this.#place.position + sent
    if (place.position <= known) return []
    this.#newer = { place, segment, due: this.#newer?.due ?? now + this.#times.settle }
    return []
  }

  #heal({ place, segment }: Newer, now: number): TakeoverAction[] {
    const healed = this.#place.healed + 1
    if (healed > mostHealings) return this.#reset('unstable')
    return this.#meet({ place: { ...place, healed }, segment }, now)
  }

  #meet({ place, segment }: Newer, now: number): TakeoverAction[] {
    this.#newer = undefined
    this.#place = place
    return this.#restore(segment, now)
  }

  #restore(segment: Segment, now: number): TakeoverAction[] {
    this.#state = 'restored'
    const restore: TakeoverAction = {
      kind: 'restore',
      point: this.#pointAt(segment, now),
    }
    return this.#isHere ? [restore, ...this.#serve(now)] : [restore]
  }

  #serve(now: number): TakeoverAction[] {
    this.#state = 'watched'
    this.#servedAt = now
    return [{ kind: 'serve', place: this.#place }]
  }

  #reset(cause: ResetCause): TakeoverAction[] {
    const { position } = this.#place
    const isServed = this.#state === 'watched'
    this.#state = 'over'
    if (isServed) return [{ kind: 'reset', cause }]
    // It is believed where the client is there exactly (RFC 5961 3.2), and harmless elsewhere.
    return [
      { kind: 'send', segment: this.#bare(flag.rst | flag.ack, position) },
      { kind: 'reset', cause },
    ]
  }

  #probe(now: number): TakeoverAction {
    const { acked } = this.#known
    const lead = leads[Math.min(this.#probes, leads.length - 1)] ?? 0
    const { probe, slowest } = this.#times
    this.#nextProbe = now + Math.min(slowest, probe * 2 ** this.#probes)
    this.#probes += 1
    const value = this.#clockAt(now + lead)
    const segment = {
      ...this.#bare(flag.ack, acked - 1),
      timestamps: value === undefined ? undefined : { value, echo: 0 },
      // One byte, for an empty segment is answered twice a second only (tcp_invalid_ratelimit).
      data: Buffer.alloc(1),
    }
    return { kind: 'send', segment }
  }

  /**
   * What a segment says of where the client is; undefined when it is not of this connection as it
   * was told: old, forged, or of another one that had the same ports.
   */
  #placeOf({ flags, sequence, acknowledgment }: Segment): Place | undefined {
    const { tcp, acked, readPosition, owedUntil } = this.#known
    if ((flags & flag.syn) !== 0 || (flags & flag.ack) === 0) return undefined
    const { healed } = this.#place
    const near = Math.max(acked, this.#place.position)
    const position = positionOf(tcp.sendStart, acknowledgment, near)
    if (position < acked) return undefined
    const expected = sequenceAt(tcp.receiveStart, readPosition)
    const ahead = signedDistance(expected, sequence)
    if (ahead < 0 || ahead > largestWindow) return undefined
    if (ahead === 0 || this.#known.isExact === true) {
      return { position, readPosition, last: false, healed }
    }
    // It has said more. While something is owed to it, that comes first, and what it said is lost.
    if (owedUntil !== undefined && position < owedUntil) {
      return { position, readPosition: readPosition + ahead, last: true, healed }
    }
    // Else it may not have been heard by anybody, and is said again.
    if (this.#state === 'probed' || this.#state === 'held') this.#isUnheard = true
    return { position, readPosition, last: false, healed }
  }

  #pointAt({ window, timestamps }: Segment, now: number): RestorePoint {
    const { tcp } = this.#known
    const heard = timestamps?.echo ?? this.#clockAt(now)
    return {
      ...this.#ends(this.#place.position, this.#place.readPosition),
      window: window * 2 ** (tcp.scale?.send ?? 0),
      deaf: false,
      timestamp:
        tcp.timestamp === undefined || heard === undefined
          ? undefined
          : nextTimestamp(heard, tcp.timestamp),
    }
  }

  #holdingPoint(now: number): RestorePoint {
    const { acked, readPosition } = this.#known
    return {
      ...this.#ends(acked, readPosition),
      window: 0,
      deaf: true,
      timestamp: this.#clockAt(now),
    }
  }

  #ends(
    position: number,
    readPosition: number,
  ): Pick<RestorePoint, 'local' | 'remote' | 'tcp' | 'send' | 'receive'> {
    const { local, remote, tcp } = this.#known
    const send = sequenceAt(tcp.sendStart, position)
    const receive = sequenceAt(tcp.receiveStart, readPosition)
    return { local, remote, tcp, send, receive }
  }

  #bare(flags: number, position: number): BareSegment {
    const { local, remote, tcp } = this.#known
    return {
      source: local,
      destination: remote,
      sequence: sequenceAt(tcp.sendStart, position),
      acknowledgment: sequenceAt(tcp.receiveStart, this.#place.readPosition),
      flags,
      window: probeWindow,
      timestamps: undefined,
      data: Buffer.alloc(0),
    }
  }

  /** Where the other host's clock of timestamps must be at a time of ours. */
  #clockAt(time: number): number | undefined {
    const { tcp, toldAt } = this.#known
    const { timestamp } = tcp
    if (timestamp === undefined) return undefined
    const unit = (timestamp & 1) === 1 ? 1000 : 1
    return Math.floor(timestamp + (time - toldAt) * unit) % 2 ** 32
  }
}

interface Newer {
  readonly place: Place
  readonly segment: Segment
}

/** One step on from what the client has heard last; even or odd, so that it keeps its unit. */
function nextTimestamp(heard: number, like: number): number {
  return (((heard + timestampStep) & ~1) | (like & 1)) >>> 0
}

const timestampStep = 2

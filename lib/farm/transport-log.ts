import type { Log } from '../log.ts'
import type { PacketSockets } from './datagram/packet-sockets.ts'
import type { PacketAction } from './engine/engine-event.ts'
import type { Path } from './peer/peer.ts'
import type { AbsentMember, Member } from './transport.ts'

/** Below this receive buffer a busy farm loses datagrams in every stall; bytes. */
const smallBuffer = 2 * 1024 * 1024

type Change = (PacketAction & { kind: 'member' })['change']

/** What operators are told of a farm: who comes and goes, and how its members are reached. */
export class TransportLog {
  readonly #log: Log

  constructor(log: Log) {
    this.#log = log
  }

  /** `records`: fetched from the others in so many milliseconds. */
  joined(
    all: readonly Member[],
    absent: readonly AbsentMember[],
    { records, ms }: { readonly records: number; readonly ms: number },
  ): void {
    const members = all.filter(isThere).length
    if (members > 0) this.#log.info({ members, records, ms }, 'joined the farm')
    else this.#log.info({ ms }, 'no other member of the farm is there yet')
    const missing = absent.map(({ id, address }) => address ?? id)
    if (missing.length > 0)
      this.#log.warn({ missing }, `members can not be reached: ${missing.join(', ')}`)
  }

  /** `hasState`: what is everywhere is here, and sessions alone are missing. */
  goesWithout(hasState: boolean): void {
    const what = hasState ? 'all sessions' : 'its state'
    this.#log.warn({}, `no member could give ${what} in time: serving without`)
  }

  /** One line for each that comes or goes. */
  member(id: string, change: Change, known: Member | undefined): void {
    // Over links it is the link that knows whether it took its leave.
    const what = change === 'gone' && known?.state === 'left' ? 'left' : change
    this.#log.info({ member: id, address: known?.address }, texts[what])
  }

  path(member: string, path: Path): void {
    this.#log.info({ member, path }, pathTexts[path])
  }

  /** `alone`: the operator wants no group. */
  sockets({ receiveBuffer, multicasts }: PacketSockets, alone: boolean): void {
    if (receiveBuffer < smallBuffer)
      this.#log.warn(
        { receiveBuffer },
        'the socket buffer is small: raise net.core.rmem_max',
      )
    if (!multicasts && !alone)
      this.#log.warn({}, 'no multicast here, sending to each member by itself')
  }
}

const texts = {
  joined: 'member joined',
  suspect: 'member is silent',
  back: 'member is back',
  gone: 'member lost',
  left: 'member left',
} as const

const pathTexts: { readonly [path in Path]: string } = {
  multicast: 'multicast reaches the member',
  unicast: 'unicast reaches the member',
  stream: 'no datagram reaches the member: records go over its TLS stream',
}

function isThere({ self, state }: Member): boolean {
  return !self && (state === 'ready' || state === 'joining' || state === 'suspect')
}

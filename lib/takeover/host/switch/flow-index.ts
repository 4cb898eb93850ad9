import { BoundedMap } from '../../../bounded-map.ts'
import { decodeCheckpoint } from '../../checkpoint/codec.ts'
import { wipe } from '../../connection/connection-state.ts'
import { withoutMapping } from '../../native/socket-address.ts'
import type { LeftConnection } from '../board/board.ts'
import { ownerOf } from '../board/connection-table.ts'
import type { WordListener } from '../board/word-listener.ts'
import { type Flow, flowOf } from '../restore/flow.ts'

/** Where it is told what is known of the connection of a flow. */
export interface ToldFlow {
  /** Hash of the member whose it is, hexadecimal. */
  readonly owner: string
  /** Under which it is told: its id, or that of its bundle; hexadecimal. */
  readonly about: string
  /** Of the connection, 16 bytes. */
  readonly id: Buffer
}

/** What stands at a place. */
export type ReadPlace = (owner: string, about: string) => readonly LeftConnection[]

/** Words that are opened for one stray; for what is behind them it comes again. */
const mostOpened = 500
/** Of all members. The oldest are forgotten. */
const mostPlaces = 200_000

/**
 * Whose connection a flow is, of all that other members tell. What they tell is sealed, and most of
 * it is never asked for: it is opened when somebody asks, once for each connection, for the
 * endpoints of a connection never change.
 */
export class FlowIndex implements WordListener {
  readonly #read: ReadPlace
  readonly #places = new BoundedMap<string, Place>(mostPlaces, place =>
    this.#forget(place),
  )
  readonly #byFlow = new Map<Flow, Set<Place>>()
  /** Those that have not been opened since they changed. */
  readonly #unread = new Set<Place>()

  constructor(read: ReadPlace) {
    this.#read = read
  }

  changed(owner: string, about: string): void {
    const name = nameOf(owner, about)
    const before = this.#places.get(name)
    if (before?.isSingle) return
    const place = before ?? { owner, about, flows: new Map(), isSingle: false }
    this.#places.set(name, place)
    this.#unread.add(place)
  }

  over(owner: string, about: string): void {
    const place = this.#places.get(nameOf(owner, about))
    if (place !== undefined) this.#remove(place)
  }

  forget(member: string): void {
    const owner = ownerOf(member)
    for (const place of this.#places.values()) {
      if (place.owner === owner) this.#remove(place)
    }
  }

  /** Undefined: not all has been opened yet. */
  find(flow: Flow): ToldFlow[] | undefined {
    let left = mostOpened
    for (const place of this.#unread) {
      if (left === 0) break
      left -= 1
      this.#unread.delete(place)
      this.#open(place)
    }
    const told = [...(this.#byFlow.get(flow) ?? [])].flatMap(
      ({ owner, about, flows }) => {
        const id = flows.get(flow)
        return id === undefined ? [] : [{ owner, about, id }]
      },
    )
    return told.length === 0 && this.#unread.size > 0 ? undefined : told
  }

  #open(place: Place): void {
    this.#clear(place)
    const left = this.#read(place.owner, place.about)
    for (const { checkpoint } of left) {
      const known = endsOf(checkpoint)
      if (known === undefined) continue
      place.flows.set(known.flow, known.id)
      const places = this.#byFlow.get(known.flow) ?? new Set()
      this.#byFlow.set(known.flow, places.add(place))
      place.isSingle = left.length === 1 && known.id.toString('hex') === place.about
    }
  }

  #clear(place: Place): void {
    for (const flow of place.flows.keys()) {
      const places = this.#byFlow.get(flow)
      places?.delete(place)
      if (places?.size === 0) this.#byFlow.delete(flow)
    }
    place.flows.clear()
  }

  #remove(place: Place): void {
    this.#places.delete(nameOf(place.owner, place.about))
    this.#forget(place)
  }

  #forget(place: Place): void {
    this.#clear(place)
    this.#unread.delete(place)
  }
}

interface Place {
  readonly owner: string
  readonly about: string
  /** Ids of the connections that are told of there. */
  readonly flows: Map<Flow, Buffer>
  /** It is one connection's alone: nothing here changes any more until that is over. */
  isSingle: boolean
}

function nameOf(owner: string, about: string): string {
  return `${owner} ${about}`
}

function endsOf(bytes: Buffer): { flow: Flow; id: Buffer } | undefined {
  try {
    const { id, local, remote, transport } = decodeCheckpoint(bytes)
    wipe(transport)
    const address = withoutMapping(remote.address)
    return { id, flow: flowOf({ address, port: remote.port }, local) }
  } catch {
    return undefined
  }
}

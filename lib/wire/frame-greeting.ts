import { ByteReader, ByteWriter, malformed } from './frame-bytes.ts'

/**
 * 3: one replication, whatever carries it; records travel in messages of the engine. 4: those
 * of TLS sessions may go to the members that own them, and not to all.
 */
export const streamVersion = 4
export const maxMembers = 1024
/** Names of members: what may stand in a log line or a metric label without quoting. */
export const memberIdPattern: RegExp = /^[\w.:@-]{1,64}$/
const addressPattern = /^([\w.:%-]+|\[[\w.:%]+\]):\d{1,5}$|^$/

/** `joining`: does not hold the farm's state yet. */
export type MemberState = 'joining' | 'ready'

/** How a member sends its records: over these links, or in datagrams beside them. */
export type Carrier = 'stream' | 'datagram'

/**
 * The body of `hello` and of `welcome`: who is speaking, and whom it knows.
 *
 *      0         1             7       8         9      11
 *      +---------+-------------+-------+---------+------+------+-----------+---------+
 *      | version | incarnation | state | carrier | port | id   | advertise | members |
 *      | u8      | u48         | u8    | u8      | u16  | str8 | str8      |         |
 *      +---------+-------------+-------+---------+------+------+-----------+---------+
 *
 *      members: u16 count, then of each  incarnation u48, id str8, address str8
 *
 * The version comes first and stays there: a reader of another version must find it.
 */
export interface Greeting {
  readonly version: number
  readonly id: string
  readonly incarnation: number
  readonly state: MemberState
  readonly carrier: Carrier
  /** Where it listens; the host is the one that it is seen from unless it advertises one. */
  readonly port: number
  /** `host:port` to dial, or empty. */
  readonly advertise: string
  readonly members: readonly KnownMember[]
}

export interface KnownMember {
  readonly id: string
  readonly incarnation: number
  /** `host:port`. */
  readonly address: string
}

export function writeGreeting(greeting: Greeting): Buffer {
  const members = greeting.members.slice(0, maxMembers)
  const out = new ByteWriter()
    .uint8(greeting.version)
    .uint48(greeting.incarnation)
    .uint8(stateNumbers[greeting.state])
    .uint8(carrierNumbers[greeting.carrier])
    .uint16(greeting.port)
    .text8(greeting.id)
    .text8(greeting.advertise)
    .uint16(members.length)
  for (const { incarnation, id, address } of members) {
    out.uint48(incarnation).text8(id).text8(address)
  }
  return out.done()
}

export function readGreeting(body: Buffer): Greeting {
  const read = new ByteReader(body)
  const version = read.uint8()
  if (version !== streamVersion) {
    // What follows is the other version's business; the version is all that can be said.
    return { version, ...nobody }
  }
  const incarnation = read.uint48()
  const state = readState(read.uint8())
  const carrier = readCarrier(read.uint8())
  const port = read.uint16()
  const id = read.text8(memberIdPattern)
  const advertise = read.text8(addressPattern)
  const count = read.uint16()
  if (count > maxMembers) throw malformed(`${count} members`)
  const members: KnownMember[] = []
  for (let i = 0; i < count; i++) {
    members.push({
      incarnation: read.uint48(),
      id: read.text8(memberIdPattern),
      address: read.text8(addressPattern),
    })
  }
  read.end()
  return { version, id, incarnation, state, carrier, port, advertise, members }
}

export function writeState(state: MemberState): Buffer {
  return Buffer.from([stateNumbers[state]])
}

export function readState(value: number | undefined): MemberState {
  if (value === stateNumbers.joining) return 'joining'
  if (value === stateNumbers.ready) return 'ready'
  throw malformed(`state ${value}`)
}

function readCarrier(value: number): Carrier {
  if (value === carrierNumbers.stream) return 'stream'
  if (value === carrierNumbers.datagram) return 'datagram'
  throw malformed(`carrier ${value}`)
}

const stateNumbers = { joining: 1, ready: 2 } as const
const carrierNumbers = { stream: 1, datagram: 2 } as const

const nobody = {
  id: '',
  incarnation: 0,
  state: 'joining',
  carrier: 'stream',
  port: 0,
  advertise: '',
  members: [],
} as const

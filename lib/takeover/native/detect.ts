import { endianness } from 'node:os'
import type { InterfaceAddresses } from './interface-addresses.ts'
import { type Libc, loadLibc } from './libc.ts'
import { findLibcrypto } from './libcrypto.ts'
import { LinuxAddresses } from './linux-addresses.ts'
import { LinuxSocket } from './linux-socket.ts'
import type { Missing, MissingReason } from './missing.ts'
import type { NativeSocket } from './native-socket.ts'
import { LinuxPackets } from './packets/linux-packets.ts'
import type { PacketPorts } from './packets/packet-port.ts'
import { LinuxStrays } from './strays/linux-strays.ts'
import type { StrayPorts } from './strays/stray-port.ts'

/**
 * What this process can do to TCP connections:
 *
 * - `sockets` alone: the positions of its own sockets can be asked for, which needs no privilege.
 * - `packets`, `addresses` and `strays` too: it can go on with connections of another host. What
 *   strays need beyond that they say themselves.
 */
export interface NativeSupport {
  readonly sockets: NativeSocket | undefined
  readonly packets: PacketPorts | undefined
  readonly addresses: InterfaceAddresses | undefined
  readonly strays: StrayPorts | undefined
  /** Why something is missing: the first reason that was met, in a sentence for people. */
  readonly missing: Missing | undefined
}

/** To be asked once, at the start. Never throws: what is missing is no fault. */
export async function detectNative(
  load: () => Promise<Libc> = loadLibc,
  platform: string = process.platform,
): Promise<NativeSupport> {
  if (platform !== 'linux' || endianness() !== 'LE') {
    return nothing('not-linux', 'TCP connections can be moved on Linux only')
  }
  let libc: Libc
  try {
    libc = await load()
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? (error as Error).message
    return nothing(
      'no-koffi',
      `the package koffi is needed, and can't be loaded (${why})`,
    )
  }
  await findLibcrypto()
  return supportBy(libc)
}

/** What the kernel allows. */
export function supportBy(libc: Libc): NativeSupport {
  const sockets = new LinuxSocket(libc)
  const fd = libc.socket(inet, stream, 0)
  try {
    try {
      sockets.written(fd)
    } catch (error) {
      return nothing(
        'old-kernel',
        `the kernel tells too little of a connection${of(error)}`,
      )
    }
    const refused = refusalOf(libc, fd)
    if (refused !== undefined) return onlySockets(sockets, refused)
  } finally {
    libc.close(fd)
  }
  try {
    libc.close(libc.socket(inet, raw, anyProtocol))
  } catch (error) {
    const text = `the capability CAP_NET_RAW is needed${of(error)}`
    return onlySockets(sockets, { reason: 'no-net-raw', text })
  }
  return {
    sockets,
    packets: new LinuxPackets(libc),
    addresses: new LinuxAddresses(libc),
    strays: new LinuxStrays(libc),
    missing: undefined,
  }
}

const inet = 2
const stream = 1
const raw = 3
const anyProtocol = 255
const tcp = 6
const repair = 19
const repairOn = 1
const repairOffWithoutProbe = -1

/** Enters repair mode and leaves it. */
function refusalOf(libc: Libc, fd: number): Missing | undefined {
  const set = (value: number) => {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32LE(value)
    libc.setOption(fd, tcp, repair, bytes)
  }
  try {
    set(repairOn)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPERM') {
      const text = `the capability CAP_NET_ADMIN is needed${of(error)}`
      return { reason: 'no-net-admin', text }
    }
    const text = `the kernel was built without TCP_REPAIR${of(error)}`
    return { reason: 'no-tcp-repair', text }
  }
  try {
    set(repairOffWithoutProbe)
    return undefined
  } catch (error) {
    return { reason: 'old-kernel', text: `Linux 4.19 or later is needed${of(error)}` }
  }
}

const none = { packets: undefined, addresses: undefined, strays: undefined } as const

function nothing(reason: MissingReason, text: string): NativeSupport {
  return { ...none, sockets: undefined, missing: { reason, text } }
}

function onlySockets(sockets: NativeSocket, missing: Missing): NativeSupport {
  return { ...none, sockets, missing }
}

function of(error: unknown): string {
  return ` (${(error as Error).message})`
}

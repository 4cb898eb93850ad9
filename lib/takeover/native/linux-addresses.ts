import { getSystemErrorName } from 'node:util'
import type { InterfaceAddresses } from './interface-addresses.ts'
import type { Libc } from './libc.ts'
import { addressBytes } from './socket-address.ts'

/**
 * A message of rtnetlink (linux/netlink.h, linux/if_addr.h), in the byte order of the machine:
 *
 *      0        4      6       8      12      16       17       18     19      20
 *      +--------+------+-------+------+-------+--------+--------+------+-------+-----------+
 *      | length | type | flags | 1    | 0     | family | prefix | 0    | scope | interface |
 *      +--------+------+-------+------+-------+--------+--------+------+-------+-----------+
 *      24          26     28        32          34     36        40
 *      +-----------+------+---------+-----------+------+---------+
 *      | length  8 | 2    | IPv4    | length  8 | 1    | IPv4    |   IFA_LOCAL, IFA_ADDRESS
 *      +-----------+------+---------+-----------+------+---------+
 *
 * The answer is another with the type 2 and a negative errno, or 0, behind its first 16 bytes.
 */
const messageLength = 40
const family = { netlink: 16, inet: 2 } as const
const kind = { raw: 3, closeOnExec: 0o2000000 } as const
const type = { error: 2, newAddress: 20, deleteAddress: 21 } as const
/** REQUEST and ACK; and what makes a new one, or stays with the one that is there. */
const flags = { ask: 0x005, create: 0x500 } as const
const wholePrefix = 32
const kernel: Buffer = Buffer.from([family.netlink, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])

export class LinuxAddresses implements InterfaceAddresses {
  readonly #libc: Libc

  constructor(libc: Libc) {
    this.#libc = libc
  }

  add(name: string, address: string): void {
    const { ask, create } = flags
    this.#ask(addressMessage(type.newAddress, ask | create, this.#index(name), address))
  }

  remove(name: string, address: string): void {
    const message = addressMessage(
      type.deleteAddress,
      flags.ask,
      this.#index(name),
      address,
    )
    try {
      this.#ask(message)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRNOTAVAIL') throw error
    }
  }

  #index(name: string): number {
    return this.#libc.interfaceIndex(name)
  }

  /** The kernel has done it, or not, when it has taken the message: the answer is there. */
  #ask(message: Buffer): void {
    const { netlink } = family
    const fd = this.#libc.socket(netlink, kind.raw | kind.closeOnExec, 0)
    try {
      this.#libc.sendTo(fd, message, kernel)
      const answer = this.#libc.receive(fd, Buffer.alloc(4_096))
      if (answer === undefined || answer.length < 20) throw new Error('no answer')
      const errno = answer.readUInt16LE(4) === type.error ? answer.readInt32LE(16) : 0
      if (errno === 0) return
      const code = getSystemErrorName(errno)
      throw Object.assign(new Error(`rtnetlink: ${code}`), { code, errno: -errno })
    } finally {
      this.#libc.close(fd)
    }
  }
}

function addressMessage(
  which: number,
  how: number,
  index: number,
  address: string,
): Buffer {
  const bytes = Buffer.alloc(messageLength)
  bytes.writeUInt32LE(messageLength, 0)
  bytes.writeUInt16LE(which, 4)
  bytes.writeUInt16LE(how, 6)
  bytes.writeUInt32LE(1, 8)
  bytes.writeUInt8(family.inet, 16)
  bytes.writeUInt8(wholePrefix, 17)
  bytes.writeUInt32LE(index, 20)
  for (const [at, attribute] of [
    [24, 2],
    [32, 1],
  ] as const) {
    bytes.writeUInt16LE(8, at)
    bytes.writeUInt16LE(attribute, at + 2)
    addressBytes(address).copy(bytes, at + 4)
  }
  return bytes
}

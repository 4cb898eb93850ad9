import type { InterfaceAddresses } from './interface-addresses.ts'
import type { Libc } from './libc.ts'
import {
  askFlags,
  askKernel,
  netlinkAttribute,
  netlinkMessage,
  openNetlink,
} from './netlink.ts'
import { addressBytes } from './socket-address.ts'

/**
 * A message of rtnetlink (linux/if_addr.h) behind its header; the interface is in the byte order of
 * the machine:
 *
 *      0        1        2      3       4           8
 *      +--------+--------+------+-------+-----------+-----------------------------+
 *      | family | prefix | 0    | scope | interface | IFA_LOCAL and IFA_ADDRESS   |
 *      +--------+--------+------+-------+-----------+-----------------------------+
 */
const headLength = 8
const attribute = { address: 1, local: 2 } as const
const rtnetlink = 0
const inet = 2
const type = { newAddress: 20, deleteAddress: 21 } as const
/** Makes a new one, or stays with the one that is there. */
const create = 0x500
const wholePrefix = 32

export class LinuxAddresses implements InterfaceAddresses {
  readonly #libc: Libc

  constructor(libc: Libc) {
    this.#libc = libc
  }

  add(name: string, address: string): void {
    this.#ask(type.newAddress, askFlags | create, name, address)
  }

  remove(name: string, address: string): void {
    try {
      this.#ask(type.deleteAddress, askFlags, name, address)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRNOTAVAIL') throw error
    }
  }

  #ask(which: number, flags: number, name: string, address: string): void {
    const body = addressBody(this.#libc.interfaceIndex(name), address)
    const fd = openNetlink(this.#libc, rtnetlink)
    try {
      askKernel(this.#libc, fd, netlinkMessage(which, flags, body), 'rtnetlink')
    } finally {
      this.#libc.close(fd)
    }
  }
}

function addressBody(index: number, address: string): Buffer {
  const head = Buffer.alloc(headLength)
  head.writeUInt8(inet, 0)
  head.writeUInt8(wholePrefix, 1)
  head.writeUInt32LE(index, 4)
  const bytes = addressBytes(address)
  return Buffer.concat([
    head,
    netlinkAttribute(attribute.local, bytes),
    netlinkAttribute(attribute.address, bytes),
  ])
}

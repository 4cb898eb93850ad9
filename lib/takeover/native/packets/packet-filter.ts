import type { Libc } from '../libc.ts'
import { addressBytes } from '../socket-address.ts'

/** SOL_SOCKET, SO_ATTACH_FILTER and SO_DETACH_FILTER of asm-generic/socket.h. */
const level = 1
const option = { attach: 26, detach: 27 } as const

/** An instruction of linux/filter.h: code u16, jump if true u8, if false u8, k u32. */
export type FilterInstruction = readonly [
  code: number,
  yes: number,
  no: number,
  k: number,
]

/** Where the header of IP begins, for a filter of a socket of TCP: SKF_NET_OFF. */
const networkHeader = 0xfff00000

/** Nothing passes. */
export const nothingPasses: readonly FilterInstruction[] = [[0x06, 0, 0, 0]]

/** Whatever comes for an IPv4 address does not pass; for sockets of TCP. */
export function allButTo(address: string): readonly FilterInstruction[] {
  return [
    [0x30, 0, 0, networkHeader],
    [0x54, 0, 0, 0xf0],
    [0x15, 0, 3, 0x40],
    [0x20, 0, 0, networkHeader + 16],
    [0x15, 0, 1, addressBytes(address).readUInt32BE(0)],
    [0x06, 0, 0, 0],
    [0x06, 0, 0, 0xffffffff],
  ]
}

/** In the place of the one that may be there. */
export function attachFilter(
  libc: Libc,
  fd: number,
  instructions: readonly FilterInstruction[],
): void {
  const filter = Buffer.alloc(8 * instructions.length)
  for (const [index, [code, yes, no, k]] of instructions.entries()) {
    filter.writeUInt16LE(code, 8 * index)
    filter.writeUInt8(yes, 8 * index + 2)
    filter.writeUInt8(no, 8 * index + 3)
    filter.writeUInt32LE(k, 8 * index + 4)
  }
  // `struct sock_fprog`.
  const program = Buffer.alloc(16)
  program.writeUInt16LE(instructions.length, 0)
  program.writeBigUInt64LE(libc.addressOf(filter), 8)
  libc.setOption(fd, level, option.attach, program)
}

/** Nothing happens where there is none. */
export function detachFilter(libc: Libc, fd: number): void {
  try {
    libc.setOption(fd, level, option.detach, Buffer.alloc(4))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

import type { Duplex } from 'node:stream'
import { Shadow } from './shadow.ts'

/**
 * Runs `begin` so that its TLS reads `bytes` first. Node's TLSSocket takes what its raw socket
 * has buffered in the next tick, by `readableLength` and `read()`. Put back with `unshift` they
 * would lie open to whoever makes the stream flow until then.
 */
export function giveBytes(socket: Duplex, bytes: Buffer, begin: () => void): void {
  const held: Held = { bytes, asked: false, given: false }
  const holder = socket as Holder
  if (!Object.hasOwn(socket, heldSymbol)) {
    Object.defineProperty(socket, 'readableLength', seenLength)
  }
  holder[heldSymbol] = held
  const read = new Shadow<Duplex['read']>(socket, 'read', size => {
    if (!held.asked || held.given) return read.before.call(socket, size)
    held.given = true
    return bytes
  })
  begin()
  process.nextTick(() => {
    read.giveBack()
    holder[heldSymbol] = undefined
    // A Node that asks in another way finds them where streams keep what was put back.
    if (!held.given && !socket.destroyed) socket.unshift(bytes)
  })
}

interface Held {
  readonly bytes: Buffer
  asked: boolean
  given: boolean
}

const heldSymbol: unique symbol = Symbol('handfast.heldBytes')

type Holder = Duplex & { [heldSymbol]?: Held | undefined }

/**
 * One getter for all sockets, which stays: taking a getter away again would turn each into a slow
 * and large object.
 */
const seenLength = {
  configurable: true,
  get(this: Holder): number {
    const held = this[heldSymbol]
    if (held === undefined) {
      return Reflect.get(Object.getPrototypeOf(this), 'readableLength', this)
    }
    held.asked = true
    return held.bytes.length
  },
}

import { getSystemErrorName } from 'node:util'
import { loadKoffi } from './koffi.ts'

/**
 * The few calls of the C library that Node has none for, through koffi. A call that fails throws
 * an error with the `code` of its errno.
 */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number
  bind(fd: number, address: Buffer): void
  connect(fd: number, address: Buffer): void
  /** The option's bytes, as many as there were, `length` at most. */
  getOption(fd: number, level: number, name: number, length: number): Buffer
  setOption(fd: number, level: number, name: number, value: Buffer): void
  /** For requests that answer with one int. */
  ioctl(fd: number, request: number): number
  sendTo(fd: number, bytes: Buffer, address: Buffer): void
  /** A view of `into`; undefined when there is nothing to be read now. */
  receive(fd: number, into: Buffer): Buffer | undefined
  close(fd: number): void
  /** The same on a thread: closing a socket of packets waits for all processors. */
  closeLater(fd: number): void
  interfaceIndex(name: string): number
  /** Where a buffer lies, for a structure that points to it. */
  addressOf(bytes: Buffer): bigint
  /** Calls back whenever the socket can be read; returns what ends that. */
  whenReadable(fd: number, read: () => void): () => void
}

/** Rejects when koffi is not installed, or has no build for this system. */
export async function loadLibc(): Promise<Libc> {
  const koffi = await loadKoffi()
  // The process itself: whatever C library Node was linked with.
  const library = koffi.load(null)
  const socket = library.func('int socket(int, int, int)')
  const bind = library.func('int bind(int, const void *, uint32_t)')
  const connect = library.func('int connect(int, const void *, uint32_t)')
  const set = library.func('int setsockopt(int, int, int, const void *, uint32_t)')
  const get = library.func('int getsockopt(int, int, int, void *, void *)')
  const control = library.func('int ioctl(int, unsigned long, void *)')
  const sendTo = library.func(
    'long sendto(int, const void *, size_t, int, const void *, uint32_t)',
  )
  const receive = library.func('long recv(int, void *, size_t, int)')
  const close = library.func('int close(int)')
  const indexOf = library.func('uint32_t if_nametoindex(const char *)')

  const checked = (result: unknown, call: string): number => {
    const value = Number(result)
    if (value >= 0) return value
    throw callError(call, koffi.errno())
  }
  return {
    socket: (domain, type, protocol) => checked(socket(domain, type, protocol), 'socket'),
    bind: (fd, address) => void checked(bind(fd, address, address.length), 'bind'),
    connect: (fd, address) =>
      void checked(connect(fd, address, address.length), 'connect'),
    getOption: (fd, level, name, length) => {
      const value = Buffer.alloc(length)
      const size = Buffer.alloc(4)
      size.writeUInt32LE(length)
      checked(get(fd, level, name, value, size), `getsockopt ${level}/${name}`)
      return value.subarray(0, size.readUInt32LE())
    },
    setOption: (fd, level, name, value) => {
      checked(set(fd, level, name, value, value.length), `setsockopt ${level}/${name}`)
    },
    ioctl: (fd, request) => {
      const value = Buffer.alloc(4)
      checked(control(fd, request, value), `ioctl ${request}`)
      return value.readInt32LE()
    },
    sendTo: (fd, bytes, address) => {
      checked(sendTo(fd, bytes, bytes.length, 0, address, address.length), 'sendto')
    },
    receive: (fd, into) => {
      const length = Number(receive(fd, into, into.length, dontWait))
      if (length >= 0) return into.subarray(0, length)
      const errno = koffi.errno()
      if (errno === koffi.os.errno['EAGAIN'] || errno === koffi.os.errno['EINTR']) {
        return undefined
      }
      throw callError('recv', errno)
    },
    close: fd => void checked(close(fd), 'close'),
    closeLater: fd => close.async(fd, () => {}),
    interfaceIndex: name => {
      const index = Number(indexOf(name))
      if (index === 0) throw callError(`if_nametoindex ${name}`, koffi.errno())
      return index
    },
    addressOf: bytes => koffi.address(bytes),
    whenReadable: (fd, read) => {
      const handle = koffi.node.poll(fd, { readable: true }, read)
      handle.unref()
      return () => handle.close()
    },
  }
}

/** MSG_DONTWAIT. */
const dontWait = 0x40

function callError(call: string, errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno)
  return Object.assign(new Error(`${call}: ${code}`), { code, errno, syscall: call })
}

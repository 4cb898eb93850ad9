import type { Socket } from 'node:net'
import type { WindowScale } from './tcp-info.ts'

/** IPv4 in dotted form. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

/**
 * What a TCP connection is beside its positions: agreed when it began, and the same for as long
 * as it lives.
 */
export interface TcpParameters {
  /** Sequence numbers of the first byte of each direction. */
  readonly sendStart: number
  readonly receiveStart: number
  /** The longest segment that may be sent, in bytes. */
  readonly mss: number
  readonly sack: boolean
  readonly scale: WindowScale | undefined
  /**
   * Where the clock of its timestamps (RFC 7323) stood when this was read; it counts
   * milliseconds, or microseconds when the lowest bit is set. Undefined: without timestamps.
   */
  readonly timestamp: number | undefined
}

/** A connection as another host is to go on with it. */
export interface RestorePoint {
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly tcp: TcpParameters
  /** The sequence number of the next byte to be sent, and of the next one to come. */
  readonly send: number
  readonly receive: number
  /** How many bytes the peer has room for, beyond `send`; may be 0. */
  readonly window: number
  /** Nothing is taken from the peer: it is told that there is no room. */
  readonly deaf: boolean
  /** From where the clock of timestamps goes on. Undefined exactly when `tcp.timestamp` is. */
  readonly timestamp: number | undefined
}

/**
 * What is asked of the kernel about one TCP socket that Node has no call for. Linux only.
 *
 * Positions are bytes since the socket was made; of one that was restored, since then. A FIN
 * counts as a byte in each of them, `read` excepted.
 *
 * An `fd` stays its owner's, who sees to it that it is open. All calls throw an error with a
 * `code` when the kernel refuses.
 */
export interface NativeSocket {
  /** Bytes that the peer has acknowledged. */
  acked(fd: number): number
  /** Bytes that were given to the kernel, whoever held the socket then. */
  written(fd: number): number
  /** Of these, the bytes that have been sent at least once. */
  sent(fd: number): number
  /** Bytes that have come from the peer without a gap, and were acknowledged to it. */
  received(fd: number): number
  /** Of these, the bytes that some process has read. */
  read(fd: number): number

  /** Needs CAP_NET_ADMIN. For a socket that is not busy: right after it was accepted. */
  parameters(fd: number): TcpParameters
  /**
   * A new socket for a connection that another host has begun. It neither sends nor answers
   * until it is `release`d, but its address must be one of this host by then. Needs
   * CAP_NET_ADMIN. The descriptor is the caller's.
   */
  restore(point: RestorePoint): number
  /**
   * From now on another socket can be restored for the same connection, which has what comes as
   * soon as it is there; until then this one has what comes on the interface. So there is no
   * moment in which the kernel would answer the peer that it knows no such connection. This one
   * is to be silenced and closed then. Needs CAP_NET_RAW.
   */
  giveWay(fd: number, device: string): void
  /** From now on the kernel serves the connection; with a probe of the peer's window. */
  release(fd: number): void
  /** The stream of a descriptor of `restore`, whose it is from now on. */
  stream(fd: number): Socket
  /** From now on the socket says nothing, not even when it is closed. There is no way back. */
  silence(fd: number): void
  /**
   * From now on nothing that comes reaches the socket, as if the network had lost it: it is neither
   * taken nor acknowledged, and who said it says it again. What came before has been taken. Of a
   * socket that listens: what comes for `address` alone.
   */
  block(fd: number, address?: string): void
  /** From now on it does again. */
  unblock(fd: number): void
  /** For a descriptor of `restore` that nothing else has taken. */
  close(fd: number): void
}

import type { Missing } from '../missing.ts'
import type { Segment } from '../packets/segment.ts'

/**
 * Strays are segments for an address of this host that none of its sockets is for: a switch sent
 * them here, and the connection is another host's, or was. A SYN is none: it begins one.
 */
export interface StrayPorts {
  /** Why there can be none; to be asked once, at the start. Takes some seconds at most. */
  missing(): Promise<Missing | undefined>
  /**
   * From now on strays for the address and one of the ports are told, in the place of the RST that
   * the kernel would answer. A flood of them is told in part only.
   *
   * Who listens to one of the ports must do so for all addresses (0.0.0.0 or ::), not for this one
   * alone: else the kernel can't tell a stray from what begins a connection. One port for an address
   * and a port on each host. Rejects when the kernel refuses it.
   *
   * When this process is killed strays go on having no answer, until the next one opens and closes it.
   */
  open(
    address: string,
    ports: readonly number[],
    onStray: (segment: Segment) => void,
  ): Promise<StrayPort>
}

export interface StrayPort {
  /**
   * Gives a stray to the kernel after all. That answers as to anything of a connection that is none
   * (RFC 9293 3.10.7.1: RST), or takes it when it is the end of a handshake whose beginning it did not
   * keep, in a flood of SYNs (RFC 4987 3.6). What the segment carried is lost: it is said again.
   */
  pass(segment: Segment): void
  /** From now on the kernel answers strays itself. */
  close(): Promise<void>
}

import type { Endpoint } from '../native-socket.ts'
import type { BareSegment, Segment } from './segment.ts'

/** Makes ports. Needs CAP_NET_RAW. */
export interface PacketPorts {
  /** On an interface, such as `eth0`, for what comes to an IPv4 address; throws when there is none. */
  open(name: string, address: string): PacketPort
  /**
   * Asks everybody on the link whether they have an address, which must not be one of this host,
   * and hears of each that says so.
   */
  ask(name: string, address: string, onElsewhere: () => void): AddressQuestion
}

export interface AddressQuestion {
  /** Once more: a question may be lost. */
  again(): void
  close(): void
}

/**
 * Packets of one address on one interface, past the TCP of the kernel. The address need not be
 * one of this host: as long as it is not, nothing but the port answers to it.
 *
 * A port is made in advance and costs nothing until it is started.
 */
export interface PacketPort {
  /** From now on, every segment that comes for the address. What is no whole segment is not told. */
  start(onSegment: (segment: Segment) => void): void
  /**
   * From now on, of these alone, as far as the kernel can hold so many apart; before, of all. For an
   * address that is served here meanwhile: what comes for it otherwise costs nothing then.
   */
  only(remotes: Iterable<Endpoint>): void
  /** Packets are lost now and then; this may lose one, too. */
  send(segment: BareSegment): void
  /** Tells everybody on the link that the address is here. The interface must have a hardware address. */
  announce(): void
  close(): void
}

/** One end of a TCP connection. */
export interface Endpoint {
  /** An IP address, IPv4 in its own form. */
  readonly address: string
  readonly port: number
}

/** Both ends of a client's connection to the balancer, of one family. */
export interface Endpoints {
  readonly source: Endpoint
  readonly destination: Endpoint
}

/** A header that was read whole. */
export interface ProxyHeader {
  /** Bytes that it takes; what follows is the client's. */
  readonly length: number
  /**
   * Undefined where the connection is the balancer's own, or of a kind that has no IP addresses:
   * then the connection's own ends are the right ones.
   */
  readonly endpoints: Endpoints | undefined
}

/** What is wrong with a header, in words for the log. */
export interface BadHeader {
  readonly fault: string
}

/** `more`: so far it is the beginning of one. */
export type HeaderOutcome = ProxyHeader | BadHeader | 'more'

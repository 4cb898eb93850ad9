import { constants } from 'node:crypto'

/** The three ways in which TLS sessions resume. */
export type KindName = 'tls12-id' | 'tls12-ticket' | 'tls13'

export interface Kind {
  readonly name: KindName
  /** Plural, as it stands in sentences. */
  readonly title: string
  readonly version: 'TLSv1.2' | 'TLSv1.3'
  /** Of the client; SSL_OP_NO_TICKET makes one that knows session IDs only. */
  readonly secureOptions: number
  /** A session of this kind is offered once (RFC 8446, C.4). */
  readonly singleUse: boolean
}

export const kinds: readonly Kind[] = [
  {
    name: 'tls12-id',
    title: 'TLS 1.2 session IDs',
    version: 'TLSv1.2',
    secureOptions: constants.SSL_OP_NO_TICKET,
    singleUse: false,
  },
  {
    name: 'tls12-ticket',
    title: 'TLS 1.2 tickets',
    version: 'TLSv1.2',
    secureOptions: 0,
    singleUse: false,
  },
  {
    name: 'tls13',
    title: 'TLS 1.3 tickets',
    version: 'TLSv1.3',
    secureOptions: 0,
    singleUse: true,
  },
]

import type { SecureVersion } from 'node:tls'

/** A way to resume that the demo shows. */
export interface Kind {
  readonly title: string
  readonly version: SecureVersion
}

export const kinds: readonly Kind[] = [
  { title: 'TLS 1.2 session IDs', version: 'TLSv1.2' },
  { title: 'TLS 1.3 tickets', version: 'TLSv1.3' },
]

export type SuiteName =
  | 'TLS_AES_128_GCM_SHA256'
  | 'TLS_AES_256_GCM_SHA384'
  | 'TLS_CHACHA20_POLY1305_SHA256'

export interface Suite {
  readonly cipher: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305'
  readonly keyBytes: number
  readonly hash: 'sha256' | 'sha384'
  readonly hashBytes: number
  /** Full records that may be sealed under one key. */
  readonly mostRecords: number
}

/** 2^24.5 (RFC 8446 5.5). */
const mostOfGcm = 23_726_566

/** The cipher suites of TLS 1.3 that Node speaks (RFC 8446 B.4). */
export const suites: Readonly<Record<SuiteName, Suite>> = {
  TLS_AES_128_GCM_SHA256: {
    cipher: 'aes-128-gcm',
    keyBytes: 16,
    hash: 'sha256',
    hashBytes: 32,
    mostRecords: mostOfGcm,
  },
  TLS_AES_256_GCM_SHA384: {
    cipher: 'aes-256-gcm',
    keyBytes: 32,
    hash: 'sha384',
    hashBytes: 48,
    mostRecords: mostOfGcm,
  },
  TLS_CHACHA20_POLY1305_SHA256: {
    cipher: 'chacha20-poly1305',
    keyBytes: 32,
    hash: 'sha256',
    hashBytes: 32,
    // It has no bound that a connection could reach: as far as JavaScript counts.
    mostRecords: Number.MAX_SAFE_INTEGER,
  },
}

export function isSuiteName(name: unknown): name is SuiteName {
  return typeof name === 'string' && Object.hasOwn(suites, name)
}

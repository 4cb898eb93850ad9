import { createPrivateKey } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'

/**
 * The same options with encrypted private keys in clear, in memory as TLS has them: a passphrase
 * takes as long as a hundred handshakes to be turned into a key (scrypt and PBKDF2 are made so),
 * and of the same options many contexts are made. What can't be read so stays as it is.
 */
export function withOpenKeys(options: SecureContextOptions): SecureContextOptions {
  const { key, passphrase } = options
  if (key === undefined) return options
  try {
    const keys: unknown[] = Array.isArray(key) ? key : [key]
    return { ...options, key: keys.map(one => openKey(one, passphrase)) as string[] }
  } catch {
    return options
  }
}

/** A key as Node takes it: PEM, or PEM with a passphrase of its own. */
function openKey(given: unknown, common: string | undefined): unknown {
  const isBare = typeof given === 'string' || Buffer.isBuffer(given)
  const { pem, passphrase = common } = (isBare ? { pem: given } : given) as Sealed
  const isSealed = passphrase !== undefined && pem?.includes('ENCRYPTED') === true
  if (!isSealed || pem === undefined) return given
  const key = createPrivateKey({ key: pem, passphrase })
  return Buffer.from(key.export({ type: 'pkcs8', format: 'pem' }))
}

interface Sealed {
  readonly pem?: string | Buffer
  readonly passphrase?: string | undefined
}

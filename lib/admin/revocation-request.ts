import { HandfastError } from '../errors.ts'
import type { RevokeOptions } from '../resumption/revocation/revocation.ts'
import type { RevocationTarget } from '../resumption/revocation/revocation-target.ts'

/** What POST /revoke takes: `{ "user": "ann", "reason": "left" }`, ids in hex. */
export function readRevocation(
  json: string,
): RevokeOptions & { readonly target: RevocationTarget } {
  const { reason = '', close, ...rest } = parse(json)
  if (typeof reason !== 'string') throw usage('reason must be a text')
  if (close !== undefined && typeof close !== 'boolean') {
    throw usage('close must be true or false')
  }
  const entries = Object.entries(rest)
  const [entry] = entries
  if (entry === undefined || entries.length > 1) {
    throw usage(`name exactly one of ${Object.keys(readers).join(', ')}`)
  }
  const [kind, value] = entry
  if (!Object.hasOwn(readers, kind)) {
    // It may be an id in the wrong place: only what looks like a word is repeated.
    const shown = /^[A-Za-z_-]{1,20}$/.test(kind) ? `'${kind}'` : 'what the body names'
    throw usage(`${shown} is none of ${Object.keys(readers).join(', ')}`)
  }
  const target = readers[kind as keyof typeof readers](value)
  return { target, reason, ...(close === undefined ? {} : { close }) }
}

const readers = {
  session: (value: unknown) => ({ session: id('session', value) }),
  lineage: (value: unknown) => ({ lineage: id('lineage', value) }),
  user: (value: unknown) => ({ user: text('user', value) }),
  certificate: (value: unknown) => ({ certificate: fingerprint('certificate', value) }),
  serverName: (value: unknown) => ({ serverName: text('serverName', value) }),
  all: (value: unknown) => {
    if (value !== true) throw usage('all must be true')
    return { all: true } as const
  },
}

function id(name: string, value: unknown): Buffer {
  if (typeof value === 'string' && /^[0-9a-f]{64}$/i.test(value)) {
    return Buffer.from(value, 'hex')
  }
  throw usage(`${name} must be 32 bytes in hex`)
}

/** A whole SHA-256 as `openssl x509 -fingerprint -sha256` writes it, or its first half. */
function fingerprint(name: string, value: unknown): Buffer {
  const hex = typeof value === 'string' ? value.replaceAll(':', '') : ''
  if (!/^(?:[0-9a-f]{32}){1,2}$/i.test(hex)) {
    throw usage(`${name} must be a SHA-256 fingerprint in hex`)
  }
  return Buffer.from(hex, 'hex').subarray(0, 16)
}

function text(name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '' && value.length <= 1024) return value
  throw usage(`${name} must be a text of 1 to 1024 characters`)
}

function parse(json: string): { [name: string]: unknown } {
  try {
    const value: unknown = JSON.parse(json)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return { ...value }
    }
  } catch {
    // Said below; the text itself is not repeated.
  }
  throw usage('the body must be a JSON object')
}

function usage(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_USAGE', message)
}

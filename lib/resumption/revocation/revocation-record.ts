import { HandfastError } from '../../errors.ts'
import { kindOf, type RevocationTarget, targetFrom } from './revocation-target.ts'

export interface Revocation {
  readonly target: RevocationTarget
  /** Time in ms on the farm's clock: handshakes up to it are revoked, later ones are not. */
  readonly at: number
  readonly reason: string
  /** Open connections under it are closed too. */
  readonly close: boolean
  /** Where connections stay: what was let in as somebody on them is closed all the same. */
  readonly users?: boolean
}

const longestReason = 500

/** Control and format characters, halves of pairs, line ends: what could forge a listing. */
const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** Throws ERR_HANDFAST_USAGE for a reason that is not one line of plain text. */
export function checkReason(reason: unknown): asserts reason is string {
  if (typeof reason !== 'string' || reason.length > longestReason) {
    throw usage(`the reason must be a text of at most ${longestReason} characters`)
  }
  if (reason.search(unseen) >= 0) {
    throw usage('the reason must be one line without control characters')
  }
}

/** The value in the virtual table `revocation`: JSON, ids in hex. */
export function encodeRevocation({ target, ...rest }: Revocation): Buffer {
  const kind = kindOf(target)
  const name: unknown = Reflect.get(target, kind)
  const shown = Buffer.isBuffer(name) ? name.toString('hex') : name
  return Buffer.from(JSON.stringify({ target: { [kind]: shown }, ...rest }))
}

/** Undefined when it can't be read. A bad reason spoils nothing else: it is cleaned. */
export function decodeRevocation(value: Buffer): Revocation | undefined {
  try {
    const { target, at, reason, close, users } = JSON.parse(value.toString())
    const [[kind, name]] = Object.entries(target) as [[string, unknown]]
    if (!Number.isFinite(at)) return undefined
    return {
      target: targetFrom(kind, name),
      at,
      reason: cleaned(typeof reason === 'string' ? reason : ''),
      close: close === true,
      ...(users === true ? { users } : {}),
    }
  } catch {
    return undefined
  }
}

function cleaned(reason: string): string {
  return reason.slice(0, longestReason).replace(unseen, '\ufffd')
}

function usage(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_USAGE', message)
}

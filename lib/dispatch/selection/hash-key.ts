import { HandfastError } from '../../errors.ts'
import { firstValueOf } from '../../http/fields.ts'
import { shown } from '../../shown.ts'
import type { Choosable } from './policy.ts'
import type { HashKey } from './rendezvous.ts'

/** Longest value that is looked at: what is behind it makes no difference. */
const maxLength = 1_024

/** `address`, `header NAME` or `cookie NAME`; undefined for anything else. */
export function readHashBy(text: string): HashKey | undefined {
  if (text === 'address') return ({ network }) => network
  const [, kind, name = ''] =
    /^(header|cookie) ([!#$%&'*+.^_`|~\w-]{1,64})$/.exec(text) ?? []
  if (kind === 'header') return headerKey(name)
  return kind === 'cookie' ? cookieKey(name) : undefined
}

export function hashKeyOf(text: string): HashKey {
  const key = readHashBy(text)
  if (key !== undefined) return key
  throw new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `hashBy must be address, header NAME or cookie NAME, got ${shown(text)}`,
  )
}

function headerKey(name: string): HashKey {
  const lower = name.toLowerCase()
  return ({ fields }) => firstValueOf(fields, lower)?.slice(0, maxLength)
}

function cookieKey(name: string): HashKey {
  return request => cookieOf(request, name)?.slice(0, maxLength)
}

/** The first cookie of the name. */
export function cookieOf({ fields }: Choosable, name: string): string | undefined {
  const cookies = firstValueOf(fields, 'cookie')
  if (cookies === undefined) return undefined
  for (const pair of cookies.split(';')) {
    const at = pair.indexOf('=')
    if (at >= 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim()
  }
  return undefined
}

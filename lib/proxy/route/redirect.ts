import { HandfastError } from '../../errors.ts'
import { shown } from '../../shown.ts'
import type { RedirectOptions } from '../options.ts'

export const redirectStatuses = [301, 302, 303, 307, 308] as const

/** Sends clients elsewhere, without asking a backend. */
export class Redirect {
  readonly status: number
  readonly #to: string
  readonly #keepPath: boolean
  readonly #from: string

  /** `from`: the path of its route, which is not kept. */
  constructor({ to, status = 308, keepPath = false }: RedirectOptions, from: string) {
    if (!isTarget(to)) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `redirect must be to an http or https URL or a path, got ${shown(to)}`,
      )
    }
    if (!redirectStatuses.includes(status as 308)) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `redirect.status must be one of ${redirectStatuses.join(', ')}, got ${shown(status)}`,
      )
    }
    this.status = status
    this.#to = keepPath ? to.replace(/\/$/, '') : to
    this.#keepPath = keepPath
    this.#from = from.replace(/[/*]+$/, '')
  }

  /** Value of Location. */
  location(path: string): string {
    if (!this.#keepPath) return this.#to
    const rest = path.startsWith(this.#from) ? path.slice(this.#from.length) : path
    const [, file = '', query = ''] = /^([^?]*)(.*)$/s.exec(rest) ?? []
    // One slash, and a real one: behind two of any kind browsers read a host.
    const below = file === '' ? '' : `/${file.replace(/^[/\\]+/, '')}`
    return `${this.#to}${below}${query}` || '/'
  }
}

/** A path, or an http or https URL without query, whose host nothing behind it can change. */
export function isTarget(to: string): boolean {
  if (!/^[\x21-\x7e]{1,2048}$/.test(to) || /[<>"\\^`{|}]/.test(to)) return false
  if (/^\/(?!\/)/.test(to)) return true
  return /^https?:\/\/[a-z0-9.:[\]-]+(?:[/?#]|$)/i.test(to) && URL.canParse(to)
}

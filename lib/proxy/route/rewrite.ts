import { hasPrefix } from '../../dispatch/links.ts'
import { HandfastError } from '../../errors.ts'
import { type Fields, filterFields } from '../../http/fields.ts'
import { shown } from '../../shown.ts'
import { claimOf } from '../message/claims.ts'
import { isHopByHop } from '../message/hop-fields.ts'
import type { Handling, HeaderChanges } from '../options.ts'
import { checkPath } from './match.ts'
import { readingsOf } from './path-readings.ts'

/** What a route changes of requests and responses on their way. */
export class Rewrite {
  readonly #stripped: string | undefined
  readonly #prefix: string
  readonly #request: Changes | undefined
  readonly #response: Changes | undefined

  /** Throws ERR_HANDFAST_CONFIG that names what may not be changed. `label` says where. */
  constructor(handling: RewriteOptions, label: string, ownFields: ReadonlySet<string>) {
    const { stripPath, addPath, requestHeaders, responseHeaders } = handling
    for (const path of [stripPath, addPath])
      if (path !== undefined) checkPath(path, label)
    this.#stripped = stripPath?.replace(/\/$/, '') || undefined
    this.#prefix = addPath?.replace(/\/$/, '') ?? ''
    this.#request = changesOf(requestHeaders, label, name =>
      mayChangeRequest(name, ownFields),
    )
    this.#response = changesOf(responseHeaders, label, mayChangeResponse)
  }

  /**
   * What is taken off this path, and put before what the response names; undefined where it begins
   * in another way, and stays.
   */
  strippedOf(path: string): string | undefined {
    const stripped = this.#stripped
    return stripped !== undefined && hasPrefix(path, stripped) ? stripped : undefined
  }

  /** The path for the backend. */
  path(path: string): string {
    const stripped = this.strippedOf(path)
    if (stripped === undefined) return this.#prefix + path
    const rest = path.slice(stripped.length)
    // Some read a host behind two slashes.
    const below = rest.startsWith('/') ? rest.replace(/^[/\\]{2,}/, '/') : `/${rest}`
    return this.#prefix + below
  }

  /** Whether some server would read it out of what is put before it: `/v2/../x` is `/x`. */
  leavesPrefix(path: string): boolean {
    const prefix = this.#prefix
    if (prefix === '') return false
    const readings = readingsOf(this.path(path))
    return readings?.every(one => `${one}/`.startsWith(`${prefix}/`)) !== true
  }

  /** `path`: of the request, as it came. */
  requestFields(fields: string[], path: string): string[] {
    const changed = this.#request === undefined ? fields : apply(this.#request, fields)
    const stripped = this.strippedOf(path)
    if (stripped !== undefined) changed.push('X-Forwarded-Prefix', stripped)
    return changed
  }

  responseFields(fields: string[]): string[] {
    return this.#response === undefined ? fields : apply(this.#response, fields)
  }
}

export type RewriteOptions = Pick<
  Handling,
  'stripPath' | 'addPath' | 'requestHeaders' | 'responseHeaders'
>

/** Undefined where nothing is changed. */
export function rewriteOf(
  handling: RewriteOptions,
  label: string,
  ownFields: ReadonlySet<string>,
): Rewrite | undefined {
  const { stripPath, addPath, requestHeaders, responseHeaders } = handling
  const some = stripPath ?? addPath ?? requestHeaders ?? responseHeaders
  return some === undefined ? undefined : new Rewrite(handling, label, ownFields)
}

interface Changes {
  readonly gone: ReadonlySet<string>
  readonly set: readonly string[]
}

function apply({ gone, set }: Changes, fields: Fields): string[] {
  const kept = filterFields(fields, name => !gone.has(name))
  kept.push(...set)
  return kept
}

function changesOf(
  changes: HeaderChanges | undefined,
  label: string,
  may: (name: string) => boolean,
): Changes | undefined {
  if (changes === undefined) return undefined
  const { set = {}, remove = [] } = changes
  for (const name of [...Object.keys(set), ...remove]) {
    if (!/^[a-z0-9-]{1,64}$/i.test(name) || !may(name.toLowerCase())) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `${label}: the field ${shown(name)} can't be set or removed`,
      )
    }
  }
  for (const value of Object.values(set)) {
    if (
      !/^[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?$/.test(
        value,
      )
    ) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `${label}: ${shown(value)} can't be the value of a field`,
      )
    }
  }
  return {
    gone: new Set([...Object.keys(set), ...remove].map(name => name.toLowerCase())),
    set: Object.entries(set).flat(),
  }
}

/** Those that frame a message or concern a connection are the proxy's business, and so is who asks. */
function mayChangeRequest(name: string, ownFields: ReadonlySet<string>): boolean {
  return !(framing.has(name) || isHopByHop(name) || ownFields.has(name) || claimOf(name))
}

function mayChangeResponse(name: string): boolean {
  return !(framing.has(name) || isHopByHop(name) || name === 'set-cookie')
}

const framing: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'content-range',
  'transfer-encoding',
  'expect',
  'via',
  'date',
  'range',
  'if-range',
  'sec-websocket-key',
  'sec-websocket-accept',
])

import { HandfastError } from '../../errors.ts'
import { type Fields, valuesOf } from '../../http/fields.ts'
import { shown } from '../../shown.ts'
import type { RouteMatch } from '../options.ts'

/** What of a request may be matched beside its path. */
export interface Matchable {
  readonly method: string
  readonly fields: Fields
  readonly websocket: boolean
}

/** A `RouteMatch` made ready. */
export class Match {
  /** Whether it looks at paths at all. */
  readonly byPath: boolean
  readonly #path: ((path: string) => boolean) | undefined
  readonly #folded: ((path: string) => boolean) | undefined
  readonly #methods: ReadonlySet<string> | undefined
  readonly #headers: readonly (readonly [string, string])[] | undefined

  /** Throws ERR_HANDFAST_CONFIG that says what is wrong; `label` says where. */
  constructor({ path, exact, methods, headers }: RouteMatch, label: string) {
    if (path !== undefined && exact !== undefined) {
      throw bad(label, 'path and exact exclude each other')
    }
    this.#path = pathTest(path, exact, label)
    this.#folded = pathTest(path?.toLowerCase(), exact?.toLowerCase(), label)
    this.byPath = this.#path !== undefined
    this.#methods = methods && methodSet(methods, label)
    this.#headers = headers && headerList(headers, label)
    if (!this.byPath && this.#methods === undefined && this.#headers === undefined) {
      throw bad(
        label,
        'must say which requests it takes: path, exact, methods or headers',
      )
    }
  }

  /** `folded`: the path is in lower case, and case is no matter. */
  takes(request: Matchable, path: string, folded: boolean): boolean {
    const test = folded ? this.#folded : this.#path
    return (test === undefined || test(path)) && this.#takesRest(request)
  }

  #takesRest({ method, fields, websocket }: Matchable): boolean {
    // A WebSocket over HTTP/2 is a GET that was said in another way (RFC 8441 5).
    if (this.#methods?.has(websocket ? 'GET' : method) === false) return false
    return this.#headers === undefined || fieldsFit(fields, this.#headers)
  }
}

/** Whether the fields have all these values, to the letter; names in lower case, `*` for any. */
export function fieldsFit(
  fields: Fields,
  headers: readonly (readonly [name: string, value: string])[],
): boolean {
  return headers.every(([name, wanted]) => {
    const values = valuesOf(fields, name)
    return wanted === '*' ? values.length > 0 : values.includes(wanted)
  })
}

function pathTest(
  path: string | undefined,
  exact: string | undefined,
  label: string,
): ((path: string) => boolean) | undefined {
  if (exact !== undefined) {
    checkPath(exact, label)
    return candidate => candidate === exact
  }
  if (path === undefined) return undefined
  checkPath(path.replace(/\*$/, ''), label)
  if (path.endsWith('*')) {
    const start = path.slice(0, -1)
    return candidate => candidate.startsWith(start)
  }
  const folder = path.endsWith('/') ? path.slice(0, -1) : path
  const end = folder.length
  return candidate =>
    candidate.startsWith(folder) && (candidate.length === end || candidate[end] === '/')
}

/** Written as every server reads it, so that it takes what it seems to take. */
export function checkPath(path: string, label: string): void {
  if (/^(?:\/(?!\.\.?(?:\/|$))[A-Za-z0-9\-._~!$&'()+,=:@]*)+$/.test(path)) {
    if (!path.includes('//')) return
  }
  throw bad(
    label,
    `a path must begin with / and have no %, ;, // and dot segments, got ${shown(path)}`,
  )
}

function methodSet(methods: readonly string[], label: string): ReadonlySet<string> {
  const wrong = methods.find(method => !/^[A-Z][A-Z-]{0,31}$/.test(method))
  if (wrong !== undefined || methods.length === 0) {
    throw bad(label, `methods must be names such as GET, got ${shown(wrong)}`)
  }
  const set = new Set(methods)
  if (set.has('GET')) set.add('HEAD')
  return set
}

function headerList(
  headers: Readonly<Record<string, string>>,
  label: string,
): readonly (readonly [string, string])[] {
  return Object.entries(headers).map(([name, value]) => {
    if (!/^[a-z0-9-]{1,64}$/i.test(name)) {
      throw bad(
        label,
        `headers must have names of letters, digits, -, got ${shown(name)}`,
      )
    }
    return [name.toLowerCase(), value]
  })
}

function bad(label: string, what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', `${label}: ${what}`)
}

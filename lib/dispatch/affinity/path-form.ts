import { type Fields, filterFields, valuesOf } from '../../http/fields.ts'
import { cookiePath, isAt, mapLinks, partsOf, prefixed } from '../links.ts'
import { type Asked, isUrlName, refererOf, type UrlForm } from './url-form.ts'

/**
 * The first part of the path names the backend, `/backend-a/cart`, which sees `/cart`, and the
 * rest in `X-Forwarded-Prefix`.
 */
export class PathForm implements UrlForm {
  readonly key: string
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
    this.key = `path ${prefix}`
  }

  read({ path }: Asked): { readonly name: string; readonly path: string } | undefined {
    const prefix = this.#prefix
    if (!path.startsWith(prefix)) return undefined
    const end = path.slice(prefix.length).search(/[/?]/)
    const name =
      end < 0 ? path.slice(prefix.length) : path.slice(prefix.length).slice(0, end)
    if (!isUrlName(name)) return undefined
    const rest = path.slice(prefix.length + name.length)
    // Some read a host behind two slashes.
    return { name, path: `/${rest.replace(/^[/\\]+/, '')}` }
  }

  readReferer(referer: string, asked: Asked): string | undefined {
    const from = refererOf(referer)
    if (from?.authority.toLowerCase() !== asked.authority.toLowerCase()) return undefined
    return this.read(from)?.name
  }

  location(name: string, { path }: Asked): string {
    return this.#prefix + name + path
  }

  requestFields(fields: Fields, name: string, asked: Asked): readonly string[] {
    const forwarded = valuesOf(fields, 'x-forwarded-prefix')
    const told = filterFields(fields, field => field !== 'x-forwarded-prefix')
    for (let i = 0; i < told.length; i += 2) {
      if (told[i]?.toLowerCase() === 'destination') {
        told[i + 1] = this.#unplaced(told[i + 1] as string, asked)
      }
    }
    // What the route strips comes behind the name, as it does in the URL.
    told.push('X-Forwarded-Prefix', this.#prefix + name + (forwarded.at(-1) ?? ''))
    return told
  }

  responseFields(fields: Fields, name: string, asked: Asked): readonly string[] {
    const place = this.#prefix + name
    const isPlaced = (path: string) => this.read({ ...asked, path }) !== undefined
    return mapLinks(fields, {
      target: target => prefixed(target, place, asked.authority, isPlaced),
      cookie: cookie => this.#cookie(cookie, place, asked.path, isPlaced),
    })
  }

  /** RFC 4918 10.3: where a copy goes to, which the backend knows without its name. */
  #unplaced(destination: string, asked: Asked): string {
    const parts = partsOf(destination)
    const { origin, path } = parts
    if (origin !== '' && !isAt(parts, asked.authority)) return destination
    return origin + (this.read({ ...asked, path })?.path ?? path)
  }

  /** A cookie of the whole site stays one: a backup is to be sent it, too. */
  #cookie(
    cookie: string,
    place: string,
    path: string,
    isPlaced: (path: string) => boolean,
  ): string {
    // RFC 6265 5.1.4: without a Path it is that of the folder, here of a folder above.
    if (!/;\s*path\s*=\s*\//i.test(cookie)) {
      return /^\/[^/?]*(?:\?|$)/.test(path) ? `${cookie}; Path=/` : cookie
    }
    return cookiePath(cookie, path =>
      path === '/' || isPlaced(path) ? path : place + path,
    )
  }
}

import type { Fields } from '../../http/fields.ts'

/** A request as far as its URL says where it goes. */
export interface Asked {
  /** Host and port, as the client wrote them. */
  readonly authority: string
  /** The host of it, in lower case. */
  readonly hostname: string
  /** Origin form. */
  readonly path: string
}

/**
 * How URLs name backends. All of it is about one site: a name is a name in it, and whether there
 * is such a backend, and whether the client may have it, others say. What of a client's words
 * comes back in an answer is a name (`isUrlName`) and the authority that it asked for.
 */
export interface UrlForm {
  /** Equal for forms that are alike. */
  readonly key: string
  /** The name in a URL and the path without it; undefined where none is named. */
  read(asked: Asked): { readonly name: string; readonly path: string } | undefined
  /** The name in the URL of the page that a request comes from. */
  readReferer(referer: string, asked: Asked): string | undefined
  /** For a Location: the same at this backend. `asked.path`: without a name. */
  location(name: string, asked: Asked): string
  /** The fields of a request, as if the client had asked for them at this backend. */
  requestFields(fields: Fields, name: string, asked: Asked): readonly string[]
  /** The fields of its response, with what they name of this site at this backend. */
  responseFields(fields: Fields, name: string, asked: Asked): readonly string[]
}

/** A label of a host name (RFC 1123 2.1), in lower case. */
export function isUrlName(name: string): boolean {
  return /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name)
}

/** Undefined where it is none of http or https. */
export function refererOf(referer: string): Asked | undefined {
  const [, authority, path = '/'] = /^https?:\/\/([^/?#]*)(\/.*)?$/i.exec(referer) ?? []
  if (authority === undefined) return undefined
  return { authority, hostname: authority.replace(/:\d*$/, '').toLowerCase(), path }
}

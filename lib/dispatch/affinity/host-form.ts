import { type Fields, lowerCase } from '../../http/fields.ts'
import { isAt, mapLinks, partsOf } from '../links.ts'
import { type Asked, isUrlName, refererOf, type UrlForm } from './url-form.ts'

/**
 * A host of its own for each backend, `a.farm.example`, which sees that as its Host whatever the
 * client asked for: so what it writes leads back to it.
 */
export class HostForm implements UrlForm {
  readonly key: string
  /** What follows the name: `.farm.example`. */
  readonly #parent: string

  /** `hosts`: `*.farm.example`. */
  constructor(hosts: string) {
    this.#parent = hosts.slice(1).toLowerCase()
    this.key = `host ${this.#parent}`
  }

  read({
    hostname,
    path,
  }: Pick<Asked, 'hostname' | 'path'>): { name: string; path: string } | undefined {
    if (!hostname.endsWith(this.#parent)) return undefined
    const name = hostname.slice(0, -this.#parent.length)
    return isUrlName(name) ? { name, path } : undefined
  }

  readReferer(referer: string): string | undefined {
    const from = refererOf(referer)
    return from && this.read(from)?.name
  }

  location(name: string, asked: Asked): string {
    return `https://${this.#authority(name, asked)}${asked.path}`
  }

  requestFields(fields: Fields, name: string, asked: Asked): readonly string[] {
    const authority = this.#authority(name, asked)
    if (isSame(authority, asked.authority)) return fields
    const told = [...fields]
    for (let i = 0; i < told.length; i += 2) {
      const value = told[i + 1] as string
      switch (lowerCase(told[i] as string)) {
        case 'host':
        case 'x-forwarded-host':
          told[i + 1] = authority
          break
        // What was of the same origin is to be of the same origin there.
        case 'origin':
        case 'referer':
        case 'destination':
          told[i + 1] = moved(value, asked.authority, authority)
          break
      }
    }
    return told
  }

  responseFields(fields: Fields, name: string, asked: Asked): readonly string[] {
    const authority = this.#authority(name, asked)
    if (isSame(authority, asked.authority)) return fields
    return mapLinks(fields, {
      target: target =>
        /^\/(?![/\\])/.test(target)
          ? `https://${authority}${target}`
          : moved(target, asked.authority, authority),
      cookie: cookie => this.#cookie(cookie, asked),
    })
  }

  /** The port is the one that the client came to. */
  #authority(name: string, { authority }: Asked): string {
    return name + this.#parent + (/:\d*$/.exec(authority)?.[0] ?? '')
  }

  /** A client takes no cookie for a host that it did not ask (RFC 6265 5.3): then for its own. */
  #cookie(cookie: string, { hostname }: Asked): string {
    return cookie.replace(
      /;\s*domain\s*=\s*\.?([^;\s]*)\s*/gi,
      (attribute, domain: string) => {
        const wanted = domain.toLowerCase()
        const matches = hostname === wanted || hostname.endsWith(`.${wanted}`)
        return matches ? attribute : ''
      },
    )
  }
}

function isSame(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase()
}

/** A URL of one authority becomes the same of another; any other stays. */
function moved(url: string, from: string, to: string): string {
  const parts = partsOf(url)
  const { origin, host, path } = parts
  if (origin === '' || !isAt(parts, from)) return url
  return origin.slice(0, origin.length - host.length) + to + path
}

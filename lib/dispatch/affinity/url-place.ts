import { type Fields, firstValueOf } from '../../http/fields.ts'
import type { Asked, UrlForm } from './url-form.ts'

export interface UrlPlaceOptions {
  readonly form: UrlForm
  /** Without a name. */
  readonly asked: Asked
  /** The name in the URL of the request. */
  readonly named: string | undefined
  readonly fields: Fields
  /** The name of a backend of the route, by its origin; undefined where URLs name none. */
  readonly nameAt: (origin: string) => string | undefined
}

/** Where one request and its response are among URLs that name backends. */
export class UrlPlace {
  readonly #options: UrlPlaceOptions

  constructor(options: UrlPlaceOptions) {
    this.#options = options
  }

  /**
   * The backend that the client is at, by what it asks for, or else by the page that it comes
   * from: a page may have links that its backend did not name itself in.
   */
  get client(): string | undefined {
    const { form, asked, named, fields } = this.#options
    if (named !== undefined) return named
    const referer = firstValueOf(fields, 'referer')
    return referer === undefined ? undefined : form.readReferer(referer, asked)
  }

  /**
   * Where a client goes that is at another backend than its URL says; undefined: it is right, or
   * is served here all the same. From a backend of the route it is only ever sent to one whose
   * name is later (by code units): else two proxies that disagree about who is well would send it
   * round in circles. `isServed`: whether a name is that of a backend of the route.
   */
  location(
    name: string | undefined,
    isServed: (name: string) => boolean,
  ): string | undefined {
    const { form, asked, named, fields } = this.#options
    if (name === undefined || name === named) return undefined
    if (named !== undefined && name < named && isServed(named)) return undefined
    // What a page loads is best had at once, and may not be had of another host at all.
    const mode = firstValueOf(fields, 'sec-fetch-mode')
    if (mode !== undefined && mode !== 'navigate') return undefined
    return form.location(name, asked)
  }

  requestFields(fields: Fields, origin: string): Fields {
    const { form, asked } = this.#options
    const name = this.#nameAt(origin)
    return name === undefined ? fields : form.requestFields(fields, name, asked)
  }

  responseFields(fields: Fields, origin: string | undefined): string[] {
    const { form, asked, named } = this.#options
    const name = origin === undefined ? named : this.#nameAt(origin)
    if (name === undefined) return [...fields]
    const changed = [...form.responseFields(fields, name, asked)]
    // No cache in front may give one client's place to all.
    if (name !== named) changed.push('Cache-Control', 'private')
    return changed
  }

  /** On a route whose backends have no names in URLs a client keeps the one that it has. */
  #nameAt(origin: string): string | undefined {
    return this.#options.nameAt(origin) ?? this.#options.named
  }
}

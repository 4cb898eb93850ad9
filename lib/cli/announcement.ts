import { formatAddress } from '../address.ts'
import type { ServeSettings } from '../serve/settings.ts'

type Handling = Pick<ServeSettings['sites'][number], 'backends'>

/** What a proxy that has begun to serve says: where, and what goes to which backends. */
export function announcement(
  { workers, sites }: Pick<ServeSettings, 'workers' | 'sites'>,
  { host, port }: { readonly host: string; readonly port: number },
): string {
  const everywhere = host === '::' || host === '0.0.0.0'
  const address = formatAddress({ host: everywhere ? 'localhost' : host, port })
  const where = `https://${address}${everywhere ? ' (and every other address)' : ''}`
  const by = `${workers} ${workers === 1 ? 'worker' : 'workers'}`
  return [`handfast proxy: ${where}, ${by}`, ...sites.flatMap(linesOf)].join('\n')
}

function linesOf(site: ServeSettings['sites'][number]): string[] {
  const names = site.names.length === 0 ? 'every other name' : site.names.join(', ')
  return [
    `  ${names} -> ${backendsOf(site) || 'by its routes alone'}`,
    ...(site.routes ?? []).map(route => {
      const { path, exact, methods, headers } = route.match
      const what = [
        ...(methods ?? []),
        exact ?? path,
        ...Object.keys(headers ?? {}).map(name => `with ${name}`),
      ]
      const words = what.filter(one => one !== undefined).join(' ')
      return `    ${words} -> ${backendsOf(route) || 'as the site'}`
    }),
  ]
}

function backendsOf({ backends = [] }: Handling): string {
  const urls = backends.map(one => (typeof one === 'string' ? one : one.url))
  return [...new Set(urls)].join(', ')
}

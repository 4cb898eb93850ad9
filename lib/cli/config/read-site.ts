import { resolve } from 'node:path'
import { systemClock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { Handling, RouteMatch } from '../../proxy/options.ts'
import { Match } from '../../proxy/route/match.ts'
import type { RouteSettings, SiteSettings } from '../../serve/settings.ts'
import type { HandlingConfig, RouteConfig, SiteConfig } from '../schema/config-file.ts'
import { checkPair } from './check-certificate.ts'
import { readAuth } from './read-auth.ts'
import { checkAuthorities, readBackendTls } from './read-certificates.ts'
import { type Blame, isOpenToOthers, readPem } from './read-pem.ts'

/** Reads the files of a site and checks that they are what they should be. */
export async function readSite(
  config: SiteConfig,
  folder: string,
  blame: Blame,
): Promise<SiteSettings & { readonly warnings: readonly string[] }> {
  const read = async (key: 'cert' | 'key' | 'clientCa') => {
    const path = config[key]
    if (path === undefined) return undefined
    return await readPem(resolve(folder, path), expected => blame(key, expected))
  }
  const { names = [], auth, routes, affinity: _, ...own } = config
  const cert = (await read('cert')) ?? ''
  const key = (await read('key')) ?? ''
  const clientCa = await read('clientCa')
  const warnings = checkPair(
    {
      cert,
      key,
      options: ['cert', 'key'],
      names,
      path: config.cert,
      now: systemClock.now(),
    },
    blame,
  )
  if (await isOpenToOthers(resolve(folder, config.key))) {
    warnings.push(`${config.key} can be read by others: chmod 600 it`)
  }
  if (clientCa !== undefined) checkAuthorities('clientCa', clientCa, blame)

  if (config.backends === undefined && routes === undefined) {
    throw blame('backends', 'a list of at least one')
  }
  const wanted = config.clientCertificate
  if (clientCa === undefined && wanted !== undefined && wanted !== 'off') {
    throw blame('clientCa', `a file, because clientCertificate is ${wanted}`)
  }
  return {
    ...own,
    ...affinityOf(config),
    names,
    cert,
    key,
    clientCa,
    clientCertificate: wanted ?? (clientCa === undefined ? 'off' : 'required'),
    ...(await readBackendTls(config, folder, blame)),
    auth: auth && (await readAuth(auth, config, folder, blame)),
    ...(routes && { routes: await readRoutes(routes, config, folder, blame) }),
    warnings,
  }
}

/** The same for its routes, each of which has to go somewhere. */
async function readRoutes(
  routes: readonly RouteConfig[],
  site: SiteConfig,
  folder: string,
  blame: Blame,
): Promise<RouteSettings[]> {
  return await Promise.all(
    routes.map(async (config, index): Promise<RouteSettings> => {
      const blameRoute: Blame = (key, expected, ...inside) =>
        blame('routes', expected, index, key, ...inside)
      const {
        path,
        exact,
        methods,
        headers,
        auth,
        redirect,
        affinity: _,
        ...rest
      } = config
      const match = { path, exact, methods, headers }
      tryMatch(match, expected => blame('routes', expected, index))
      const goes = config.backends ?? site.backends ?? redirect
      if (goes === undefined) {
        throw blameRoute('backends', 'a list, because the site has none either')
      }
      return {
        ...rest,
        ...affinityOf(config),
        match,
        ...(redirect !== undefined && {
          redirect: typeof redirect === 'string' ? { to: redirect } : redirect,
        }),
        ...(await readBackendTls(config, folder, blameRoute)),
        auth:
          auth === undefined || auth === 'none'
            ? auth
            : await readAuth(auth, site, folder, blameRoute),
      }
    }),
  )
}

/** What may be said in short, in full. */
function affinityOf({ affinity }: HandlingConfig): Pick<Handling, 'affinity'> {
  if (affinity === undefined) return {}
  return { affinity: typeof affinity === 'string' ? { by: affinity } : affinity }
}

function tryMatch(match: RouteMatch, blame: (expected: string) => HandfastError): void {
  try {
    new Match(match, 'a route')
  } catch (error) {
    if (!(error instanceof HandfastError)) throw error
    throw blame(error.message)
  }
}

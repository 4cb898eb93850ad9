import type { HandfastError } from '../../errors.ts'
import type { ConfigFile } from '../schema/config-file.ts'
import type { Path } from '../schema/schema.ts'

/** Faults that no single value shows: names served twice, versions the wrong way round. */
export function checkTogether(
  config: ConfigFile,
  fault: (path: Path, expected: string) => HandfastError,
): void {
  const seen = new Map<string, number>()
  config.sites.forEach(({ names = [] }, site) => {
    if (names.length === 0) {
      const before = seen.get('')
      if (before !== undefined) {
        throw fault(
          ['sites', site, 'names'],
          `names, because sites[${before}] serves all others`,
        )
      }
      seen.set('', site)
    }
    names.forEach((name, index) => {
      const before = seen.get(name)
      if (before !== undefined) {
        throw fault(
          ['sites', site, 'names', index],
          `another name than those of sites[${before}]`,
        )
      }
      seen.set(name, site)
    })
  })
  for (const name of ['redirectPort', 'acmeChallenge'] as const) {
    if (config[name] !== undefined && config.redirect === undefined) {
      throw fault([name], 'a redirect beside it')
    }
  }
  if (config.accessLog === undefined && config.accessLogFormat !== undefined) {
    throw fault(['accessLogFormat'], 'an accessLog beside it')
  }
  const { minVersion, maxVersion } = config.tls ?? {}
  if (minVersion === 'TLSv1.3' && maxVersion === 'TLSv1.2') {
    throw fault(['tls', 'maxVersion'], 'a version not below minVersion')
  }
  const { sessionTimeout, lineageTimeout } = config.farm ?? {}
  if (
    sessionTimeout !== undefined &&
    lineageTimeout !== undefined &&
    lineageTimeout < sessionTimeout
  ) {
    throw fault(['farm', 'lineageTimeout'], 'at least sessionTimeout')
  }
  const { advertise, listen } = config.farm ?? {}
  if (advertise !== undefined && listen?.port === 0) {
    throw fault(['farm', 'listen'], 'a port other than 0, because advertise is given')
  }
}

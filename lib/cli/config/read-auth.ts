import { resolve } from 'node:path'
import { noBasis } from '../../auth/identity.ts'
import { createMethods } from '../../auth/method/methods.ts'
import {
  authSettings,
  defaultRealm,
  formSettings,
  logoutPathOf,
} from '../../auth/options.ts'
import { systemClock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import { silentLog } from '../../log.ts'
import type { SiteAuthSettings } from '../../serve/settings.ts'
import type { AuthConfig, SiteConfig } from '../schema/config-file.ts'
import { type Blame, readPem } from './read-pem.ts'

/** Reads the files that the auth of a site names, and tries whether an Auth comes of it. */
export async function readAuth(
  config: AuthConfig,
  site: SiteConfig,
  folder: string,
  blame: Blame,
): Promise<SiteAuthSettings> {
  const { certificate, basic, bearer, forward, form, ...rest } = config
  if (certificate !== undefined && site.clientCertificate === 'off') {
    throw blame(
      'clientCertificate',
      'optional or required, because auth.certificate is given',
    )
  }
  if (certificate !== undefined && site.clientCa === undefined) {
    throw blame('clientCa', 'a file, because auth.certificate is given')
  }
  const read = async (path: string | undefined, ...inside: string[]) =>
    path === undefined
      ? undefined
      : await readPem(resolve(folder, path), expected =>
          blame('auth', expected, ...inside),
        )
  const key = await read(bearer?.key, 'bearer', 'key')
  const ca = await read(forward?.ca, 'forward', 'ca')
  if (key?.includes('PRIVATE KEY')) {
    throw blame('auth', 'a public key, which is enough to check tokens', 'bearer', 'key')
  }
  const settings: SiteAuthSettings = {
    ...rest,
    // Each site has users of its own unless the operator gives several the same realm.
    realm: config.realm ?? site.names?.[0] ?? defaultRealm,
    basic: basic && { htpasswd: resolve(folder, basic.htpasswd) },
    bearer: bearer && { ...bearer, key },
    certificate: certificate && { subject: certificate },
    forward: forward && { ...forward, ca },
    form: form && { ...form, htpasswd: resolve(folder, form.htpasswd) },
  }
  await tryOut(settings, reason => blame('auth', reason))
  return settings
}

/** What is wrong is better known now than in a worker. */
async function tryOut(
  settings: SiteAuthSettings,
  blame: (expected: string) => HandfastError,
): Promise<void> {
  try {
    authSettings(settings)
    if (settings.form) formSettings(settings.form)
    logoutPathOf(settings)
    await createMethods(settings, {
      realm: settings.realm,
      clock: systemClock,
      log: silentLog,
      makeBasis: () => noBasis,
    }).close()
  } catch (error) {
    if (!(error instanceof HandfastError)) throw error
    throw blame(`settings that hold (${error.message})`)
  }
}

import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { noBasis } from '../../auth/identity.ts'
import { parseHtpasswd } from '../../auth/method/htpasswd.ts'
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
import { type Blame, readPem, whyNot } from './read-pem.ts'

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
  const users = (path: string, method: string) =>
    checkUsers(path, folder, expected => blame('auth', expected, method, 'htpasswd'))
  const key = await read(bearer?.key, 'bearer', 'key')
  const ca = await read(forward?.ca, 'forward', 'ca')
  if (key?.includes('PRIVATE KEY')) {
    throw blame('auth', 'a public key, which is enough to check tokens', 'bearer', 'key')
  }
  const settings: SiteAuthSettings = {
    ...rest,
    // Each site has users of its own unless the operator gives several the same realm.
    realm: config.realm ?? site.names?.[0] ?? defaultRealm,
    basic: basic && { htpasswd: await users(basic.htpasswd, 'basic') },
    bearer: bearer && { ...bearer, key },
    certificate: certificate && { subject: certificate },
    forward: forward && { ...forward, ca },
    form: form && { ...form, htpasswd: await users(form.htpasswd, 'form') },
  }
  await tryOut(settings, reason => blame('auth', reason))
  return settings
}

/** The full path of an htpasswd file, with users that can log in. */
async function checkUsers(
  path: string,
  folder: string,
  fault: (expected: string) => HandfastError,
): Promise<string> {
  const file = resolve(folder, path)
  let bytes: Buffer
  try {
    bytes = await readFile(file)
  } catch (error) {
    throw fault(`a readable file (${whyNot(error)})`)
  }
  try {
    parseHtpasswd(bytes, path)
  } catch (error) {
    if (!(error instanceof HandfastError)) throw error
    throw fault(`users with bcrypt hashes (${error.message})`)
  }
  return file
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

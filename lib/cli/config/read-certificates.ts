import { X509Certificate } from 'node:crypto'
import { resolve } from 'node:path'
import { systemClock } from '../../clock.ts'
import type { HandlingConfig } from '../schema/config-file.ts'
import { checkPair } from './check-certificate.ts'
import { type Blame, readPem } from './read-pem.ts'

/** What https backends are checked by and shown: the files of a site or of a route, as PEM. */
export async function readBackendTls(
  config: HandlingConfig,
  folder: string,
  blame: Blame,
): Promise<{ backendCa?: string; backendCert?: string; backendKey?: string }> {
  const read = async (name: 'backendCa' | 'backendCert' | 'backendKey') => {
    const path = config[name]
    if (path === undefined) return undefined
    return await readPem(resolve(folder, path), expected => blame(name, expected))
  }
  const backendCa = await read('backendCa')
  const backendCert = await read('backendCert')
  const backendKey = await read('backendKey')
  if (backendCa !== undefined) checkAuthorities('backendCa', backendCa, blame)
  if (backendCert !== undefined) {
    if (backendKey === undefined)
      throw blame('backendKey', 'a file, the key of backendCert')
    checkPair(
      {
        cert: backendCert,
        key: backendKey,
        options: ['backendCert', 'backendKey'],
        names: [],
        path: config.backendCert ?? '',
        now: systemClock.now(),
      },
      blame,
    )
  } else if (backendKey !== undefined) {
    throw blame('backendCert', 'a file, the certificate of backendKey')
  }
  return {
    ...(backendCa !== undefined && { backendCa }),
    ...(backendCert !== undefined && { backendCert }),
    ...(backendKey !== undefined && { backendKey }),
  }
}

type Key = Parameters<Blame>[0]

export function checkAuthorities(name: Key, pem: string, blame: Blame): void {
  try {
    for (const one of pem.match(/-----BEGIN CERT.*?-----END [A-Z ]+-----/gs) ?? ['']) {
      new X509Certificate(one)
    }
  } catch {
    throw blame(name, 'a file with certificates in PEM form')
  }
}

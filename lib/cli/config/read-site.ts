import { X509Certificate } from 'node:crypto'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { SiteSettings } from '../../serve/settings.ts'
import type { SiteConfig } from './config-file.ts'
import { readAuth } from './read-auth.ts'
import { type Blame, readPem } from './read-pem.ts'

/** Reads the files of a site and checks that they are what they should be. */
export async function readSite(
  config: SiteConfig,
  folder: string,
  blame: Blame,
): Promise<SiteSettings & { readonly warnings: readonly string[] }> {
  const read = async (key: 'cert' | 'key' | 'clientCa' | 'backendCa') => {
    const path = config[key]
    if (path === undefined) return undefined
    return await readPem(resolve(folder, path), expected => blame(key, expected))
  }
  const cert = (await read('cert')) ?? ''
  const key = (await read('key')) ?? ''
  const clientCa = await read('clientCa')
  const backendCa = await read('backendCa')
  checkCertificate(cert, blame)
  checkKey(key, cert, blame)
  if (clientCa !== undefined) checkAuthorities(clientCa, 'clientCa', blame)
  if (backendCa !== undefined) checkAuthorities(backendCa, 'backendCa', blame)

  const wanted = config.clientCertificate
  if (clientCa === undefined && wanted !== undefined && wanted !== 'off') {
    throw blame('clientCa', `a file, because clientCertificate is ${wanted}`)
  }
  return {
    names: config.names ?? [],
    cert,
    key,
    clientCa,
    clientCertificate: wanted ?? (clientCa === undefined ? 'off' : 'required'),
    backends: config.backends,
    backendCa,
    resumption: config.resumption,
    auth: config.auth && (await readAuth(config.auth, config, folder, blame)),
    warnings: warningsOf(cert, config.cert),
  }
}

function checkCertificate(cert: string, blame: Blame): void {
  try {
    createSecureContext({ cert })
  } catch {
    throw blame('cert', 'a file with a certificate in PEM form, leaf first')
  }
}

function checkKey(key: string, cert: string, blame: Blame): void {
  if (/ENCRYPTED/.test(key)) {
    throw blame('key', 'a private key that is not encrypted')
  }
  try {
    createSecureContext({ cert, key })
  } catch {
    throw blame('key', 'a file with the private key that belongs to the certificate')
  }
}

function checkAuthorities(
  pem: string,
  key: 'clientCa' | 'backendCa',
  blame: Blame,
): void {
  try {
    for (const one of pem.match(/-----BEGIN CERT.*?-----END [A-Z ]+-----/gs) ?? ['']) {
      new X509Certificate(one)
    }
  } catch {
    throw blame(key, 'a file with certificates in PEM form')
  }
}

function warningsOf(cert: string, path: string): string[] {
  const { validTo } = new X509Certificate(cert)
  return Date.parse(validTo) > Date.now() ? [] : [`${path} ran out on ${validTo}`]
}

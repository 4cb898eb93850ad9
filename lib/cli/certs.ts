import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  X509Certificate,
} from 'node:crypto'
import { link, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

export interface CertificateOptions {
  /** Host names and IP addresses the certificate is good for. The first is its subject. */
  readonly names: readonly string[]
  readonly keyType: 'p256' | 'rsa'
  readonly days: number
}

/** PEM texts. */
export interface Certificate {
  readonly key: string
  readonly cert: string
}

export interface CertificateFiles {
  readonly keyFile: string
  readonly certFile: string
}

export const localhostCertificate: CertificateOptions = {
  names: ['localhost', '127.0.0.1', '::1'],
  keyType: 'p256',
  days: 365,
}

/** A new key and a certificate that it signs itself. */
export async function makeCertificate(options: CertificateOptions): Promise<Certificate> {
  const key = await makeKey(options.keyType)
  return { key, cert: await certify(key, options) }
}

/**
 * The pair in these files; what is missing is made, what has run out is made anew with the
 * same key. Several processes may do this at once: the certificate is always made from the
 * key that won, so whatever the interleaving, the two files belong together.
 */
export async function ensureCertificate(
  files: CertificateFiles,
  options: CertificateOptions,
): Promise<Certificate & { readonly made: boolean }> {
  await mkdir(dirname(files.keyFile), { recursive: true })
  const key =
    (await readIfThere(files.keyFile)) ??
    (await place(await makeKey(options.keyType), files.keyFile, 'unless-there'))
  const old = await readIfThere(files.certFile)
  if (old !== undefined && !isOutdatedSelfSigned(old))
    return { key, cert: old, made: false }
  const mode = old === undefined ? 'unless-there' : 'over'
  const cert = await place(await certify(key, options), files.certFile, mode)
  return { key, cert, made: true }
}

/** Writes both files, readable by their owner only, over what was there. */
export async function writeCertificate(
  files: CertificateFiles,
  { key, cert }: Certificate,
): Promise<void> {
  await mkdir(dirname(files.keyFile), { recursive: true })
  await place(key, files.keyFile, 'over')
  await place(cert, files.certFile, 'over')
}

async function makeKey(type: CertificateOptions['keyType']): Promise<string> {
  const generateKey = promisify(generateKeyPair)
  const { privateKey } =
    type === 'rsa'
      ? await generateKey('rsa', { modulusLength: 2048 })
      : await generateKey('ec', { namedCurve: 'P-256' })
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
}

async function certify(key: string, options: CertificateOptions): Promise<string> {
  // It is large, and most processes find their certificate.
  const { generate } = await import('selfsigned')
  const privateKey = createPrivateKey(key)
  const isRsa = privateKey.asymmetricKeyType === 'rsa'
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' })
  // A minute in the past, for a client whose clock is a little behind.
  const from = Date.now() - 60_000
  const made = await generate([{ name: 'commonName', value: options.names[0] ?? '' }], {
    keyType: isRsa ? 'rsa' : 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    keyPair: { privateKey: key, publicKey: publicKey as string },
    notBeforeDate: new Date(from),
    notAfterDate: new Date(from + options.days * 86_400_000),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      {
        name: 'keyUsage',
        digitalSignature: true,
        keyEncipherment: isRsa,
        critical: true,
      },
      { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
      {
        name: 'subjectAltName',
        altNames: options.names.map(name =>
          isIP(name) === 0 ? { type: 2, value: name } : { type: 7, ip: name },
        ),
      },
    ],
  })
  return made.cert.replaceAll('\r\n', '\n')
}

/** Ours have issuer = subject. Anyone else's certificate is left alone, run out or not. */
function isOutdatedSelfSigned(pem: string): boolean {
  const certificate = new X509Certificate(pem)
  return (
    certificate.issuer === certificate.subject &&
    Date.parse(certificate.validTo) < Date.now() + 3_600_000
  )
}

/**
 * Puts a whole file in its place in one step, mode 0600. With `unless-there` the file that
 * another process put there first wins, and its text is the answer.
 */
async function place(
  text: string,
  file: string,
  mode: 'unless-there' | 'over',
): Promise<string> {
  const folder = await mkdtemp(join(dirname(file), '.new-'))
  try {
    const fresh = join(folder, 'file')
    await writeFile(fresh, text, { mode: 0o600 })
    if (mode === 'over') {
      await rename(fresh, file)
      return text
    }
    try {
      await link(fresh, file)
      return text
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      return await readFile(file, 'utf8')
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

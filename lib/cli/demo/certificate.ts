import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import {
  type Certificate,
  type CertificateFiles,
  ensureCertificate,
  localhostCertificate,
} from '../certs.ts'
import { defaultCertificate } from '../proxy-flags.ts'

export interface DemoCertificate extends Certificate, CertificateFiles {
  /** Removes what was made for this run alone. */
  remove(): Promise<void>
}

/** The pair in `certs`; where nothing can be written there, one for this run. */
export async function demoCertificate(cwd: string): Promise<DemoCertificate> {
  const usual = {
    certFile: resolve(cwd, defaultCertificate.certFile),
    keyFile: resolve(cwd, defaultCertificate.keyFile),
  }
  try {
    const pair = await ensureCertificate(usual, localhostCertificate)
    return { ...pair, ...usual, remove: async () => {} }
  } catch (error) {
    if (!readOnly.has((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
  const folder = await mkdtemp(join(tmpdir(), 'handfast-demo-'))
  const files = {
    certFile: join(folder, 'localhost.crt'),
    keyFile: join(folder, 'localhost.key'),
  }
  const pair = await ensureCertificate(files, localhostCertificate)
  const remove = () => rm(folder, { recursive: true, force: true })
  return { ...pair, ...files, remove }
}

const readOnly: ReadonlySet<string> = new Set(['EROFS', 'EACCES', 'EPERM'])

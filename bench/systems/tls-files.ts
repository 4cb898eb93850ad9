import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Identities } from '../certificates/identity.ts'

/** Paths of PEM files. */
export interface TlsFiles {
  readonly keyFile: string
  readonly certFile: string
  /** Certificates and key in one file, as HAProxy wants them. */
  readonly bundleFile: string
  /** Set when clients must show a certificate. */
  readonly clientCaFile: string | undefined
}

export async function keyFiles(
  { server, client }: Identities,
  folder: string,
): Promise<TlsFiles> {
  const place = async (name: string, text: string): Promise<string> => {
    const file = join(folder, name)
    await writeFile(file, text, { mode: 0o600 })
    return file
  }
  return {
    keyFile: await place('key.pem', server.key),
    certFile: await place('cert.pem', server.cert),
    bundleFile: await place('bundle.pem', server.cert + server.key),
    clientCaFile: client === undefined ? undefined : await place('ca.pem', client.ca),
  }
}

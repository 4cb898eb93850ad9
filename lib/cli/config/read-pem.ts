import { readFile, stat } from 'node:fs/promises'
import type { HandfastError } from '../../errors.ts'
import type { RouteConfig, SiteConfig } from '../schema/config-file.ts'

/** Makes the error for one key of a site or a route, in the words of flags or config file. */
export type Blame = (
  key: keyof SiteConfig | keyof RouteConfig,
  expected: string,
  ...inside: (string | number)[]
) => HandfastError

/** The text of a PEM file. `fault` makes the error of one that is none. */
export async function readPem(
  path: string,
  fault: (expected: string) => HandfastError,
): Promise<string> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw fault(`a readable file (${whyNot(error)})`)
  }
  if (!text.includes('-----BEGIN ')) throw fault('a file in PEM form')
  return text
}

/** Why a file can't be read, in words where the code says little. */
export function whyNot(error: unknown): string {
  const { code = 'unknown' } = error as NodeJS.ErrnoException
  if (code === 'EISDIR') return 'it is a folder'
  if (code === 'EACCES')
    return `EACCES: not by user ${process.getuid?.() ?? 'of this process'}`
  return code
}

/**
 * Whether a key or a secret may be read by others than its owner. Root may hand one to a service
 * by its group, as Kubernetes and Debian's ssl-cert do.
 */
export async function isOpenToOthers(path: string): Promise<boolean> {
  if (path.startsWith('/dev/')) return false
  const { mode, uid } = await stat(path)
  const mayRead = uid === 0 && process.getuid?.() !== 0 ? 0o027 : 0o077
  return (mode & mayRead) !== 0
}

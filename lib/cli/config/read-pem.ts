import { readFile } from 'node:fs/promises'
import type { HandfastError } from '../../errors.ts'
import type { RouteConfig, SiteConfig } from './config-file.ts'

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
    const { code } = error as NodeJS.ErrnoException
    throw fault(`a readable file (${code})`)
  }
  if (!text.includes('-----BEGIN ')) throw fault('a file in PEM form')
  return text
}

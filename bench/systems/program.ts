import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Servers often lie where only root's PATH leads. */
const alsoIn = ['/usr/sbin', '/usr/local/sbin', '/sbin']

export type Program =
  | { readonly path: string; readonly missing: undefined }
  | { readonly path: undefined; readonly missing: string }

/** The first of these programs that is installed, or a line on what is not. */
export function findProgram(...names: readonly string[]): Program {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...alsoIn]
  for (const name of names) {
    for (const folder of folders) {
      const path = join(folder, name)
      if (isExecutable(path)) return { path, missing: undefined }
    }
  }
  return { path: undefined, missing: `${names.join(' or ')} is not installed` }
}

/** The program's path; for use after `missing` said that it is there. */
export function needProgram(...names: readonly string[]): string {
  const { path, missing } = findProgram(...names)
  if (path === undefined) throw new Error(missing)
  return path
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

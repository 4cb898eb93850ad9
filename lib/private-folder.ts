import { lstatSync, mkdirSync } from 'node:fs'
import { HandfastError } from './errors.ts'

/**
 * Makes a folder for this user alone. Throws ERR_HANDFAST_CONFIG for one that is there and that
 * others can look into, that is another user's, or no folder.
 */
export function makePrivateFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EEXIST' && code !== 'ENOTDIR' && code !== 'EACCES') throw error
    throw refused(folder, `it can't be made (${code})`, error)
  }
  const { mode, uid } = lstatSync(folder)
  if ((mode & 0o170000) !== 0o040000) throw refused(folder, 'it is no folder')
  if (uid !== process.getuid?.()) throw refused(folder, `user ${uid} owns it`)
  const rights = mode & 0o077
  if (rights !== 0) throw refused(folder, `others have rights there: chmod 700 ${folder}`)
}

function refused(folder: string, why: string, cause?: unknown): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `${folder} must be a folder that only this user can look into: ${why}`,
    { cause },
  )
}

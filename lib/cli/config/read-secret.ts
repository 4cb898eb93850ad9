import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { HandfastError } from '../../errors.ts'
import { shown } from '../../shown.ts'
import type { Io } from '../command.ts'
import { badFlag } from '../flags.ts'
import { readSecret } from '../secret.ts'
import { isOpenToOthers, whyNot } from './read-pem.ts'

export interface SecretPlaces {
  /** Path that `--secret-file` or the config file names. */
  readonly file: string | undefined
  readonly folder: string
  /** Value of HANDFAST_SECRET. */
  readonly env: string | undefined
  /** Written into the config file itself. */
  readonly inline: string | undefined
  readonly fault: (expected: string) => HandfastError
}

/** The farm secret from the first place that has one: file, environment, config file. */
export async function findSecret(
  places: SecretPlaces,
): Promise<{ secret: string | undefined; warnings: string[] }> {
  if (places.file !== undefined) {
    return await readSecretFile(resolve(places.folder, places.file), places.fault)
  }
  if (places.env !== undefined && places.env !== '') {
    const secret = readSecret(places.env)
    if (secret !== undefined) return { secret, warnings: [] }
    throw badFlag('HANDFAST_SECRET: expected 32 bytes as base64url, base64 or hex')
  }
  if (places.inline === undefined) return { secret: undefined, warnings: [] }
  return {
    secret: places.inline,
    warnings: [
      'the farm secret stands in the config file: a file of its own (farm.secretFile) or ' +
        'HANDFAST_SECRET is easier to protect',
    ],
  }
}

/** The same for a command without config file. `file`: what `--secret-file` says. */
export function findSecretOf(
  io: Io,
  file: string | undefined,
): Promise<{ secret: string | undefined; warnings: string[] }> {
  return findSecret({
    file,
    folder: io.cwd,
    env: io.env['HANDFAST_SECRET'],
    inline: undefined,
    fault: expected => badSecretFile(file, expected),
  })
}

/** An error about what `--secret-file` names; a secret itself may stand there by mistake. */
export function badSecretFile(file: string | undefined, expected: string): HandfastError {
  return badFlag(`--secret-file: expected ${expected}, got ${shown(file)}`)
}

async function readSecretFile(
  path: string,
  fault: (expected: string) => HandfastError,
): Promise<{ secret: string; warnings: string[] }> {
  let text: string
  let open: boolean
  try {
    text = await readFile(path, 'utf8')
    open = await isOpenToOthers(path)
  } catch (error) {
    throw fault(`a readable file (${whyNot(error)})`)
  }
  const secret = readSecret(text)
  if (secret === undefined) {
    throw fault('a file with 32 bytes as base64url, base64 or hex (handfast secret)')
  }
  return {
    secret,
    warnings: open ? [`${path} can be read by others: chmod 600 it`] : [],
  }
}

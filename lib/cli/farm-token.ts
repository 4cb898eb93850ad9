import { adminToken } from '../admin/admin-token.ts'
import { parseSecret } from '../farm/secret.ts'
import type { Io } from './command.ts'
import { findSecretOf } from './config/read-secret.ts'
import { badFlag } from './flags.ts'

/** What an admin port wants to be shown, made from the farm secret. */
export async function farmToken(
  file: string | undefined,
  farmName = 'handfast',
  io: Io,
): Promise<string> {
  const { secret } = await findSecretOf(io, file)
  if (secret !== undefined) return adminToken(parseSecret(secret), farmName)
  throw badFlag('needs the farm secret: --secret-file FILE or HANDFAST_SECRET')
}

/** Flags of a command that shows it. */
export const tokenFlags = {
  'secret-file': {
    value: 'FILE',
    about: "the farm's secret, or environment variable HANDFAST_SECRET",
  },
  'farm-name': { value: 'NAME', about: 'default handfast' },
} as const

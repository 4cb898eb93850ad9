import { farmKey } from '../farm/secret.ts'

/**
 * What a caller of the admin port shows to change anything: who has the farm secret can make
 * it, and it does not tell the secret.
 */
export function adminToken(secret: Buffer, farmName: string): string {
  return farmKey(secret, farmName, 'admin').toString('base64url')
}

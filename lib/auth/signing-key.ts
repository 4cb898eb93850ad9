import { farmKey } from '../farm/secret.ts'

/**
 * Key of the signature over identity headers, as text for an environment variable: what a
 * backend needs to believe them, and all that it gets of the farm secret. Each realm has its
 * own, so that the backend of one can't sign for the users of another.
 */
export function signingKey(secret: Buffer, farmName: string, realm: string): string {
  return farmKey(secret, farmName, `identity headers ${realm}`).toString('base64url')
}

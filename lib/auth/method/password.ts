import type { Clock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { type Basis, type Claims, noBasis } from '../identity.ts'
import type { Asker } from '../request/asker.ts'
import type { AuthRequest } from '../request/request.ts'
import type { Htpasswd } from './htpasswd.ts'
import { causeOf, refused, tooLate, unavailable, type Verdict } from './method.ts'

/**
 * Checks a user name and password: true, or who it is, when they are right; false or undefined
 * when they are wrong. To take as long for unknown users as for known ones is up to you.
 */
export type VerifyPassword = (
  user: string,
  password: string,
  request: AuthRequest,
) => PasswordAnswer | Promise<PasswordAnswer>

export type PasswordAnswer =
  | boolean
  | undefined
  | { readonly subject?: string | undefined; readonly claims?: Claims | undefined }

/** Checks a user name and password, wherever the passwords are. */
export interface PasswordCheck {
  /** Never rejects and never waits longer than 10 s. */
  verify(
    user: string,
    password: string,
    request: AuthRequest,
    asker?: Asker,
  ): Promise<Verdict>
  /** False when the user is known to be gone, or to have another password than it was. */
  stands(subject: string, basis: Basis): boolean
}

const callbackTimeout = 10_000

export function checkByCallback(
  verify: VerifyPassword,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): PasswordCheck {
  return {
    stands: (_subject, basis) => basis.equals(noBasis),
    verify(user, password, request) {
      return new Promise(resolve => {
        const timer = clock.after(callbackTimeout, () => resolve(tooLate))
        // The promise also turns a throw of the callback into a rejection.
        const asked = new Promise<PasswordAnswer>(done =>
          done(verify(user, password, request)),
        )
        asked
          .then(
            found => resolve(verdictOf(user, found)),
            error => {
              const cause = causeOf(error)
              log.error({ cause }, 'the callback that checks passwords failed')
              resolve(unavailable('callback'))
            },
          )
          .finally(() => timer.cancel())
      })
    },
  }
}

export function checkByHtpasswd(htpasswd: Htpasswd): PasswordCheck {
  return {
    stands: (subject, basis) => htpasswd.basisOf(subject)?.equals(basis) === true,
    async verify(user, password, _request, asker) {
      const found = await htpasswd.verify(user, password, asker)
      if (found === undefined) return tooLate
      if (found === false) return refused
      return { kind: 'proved', proof: { subject: user, basis: found } }
    },
  }
}

function verdictOf(user: string, found: PasswordAnswer): Verdict {
  if (found === true) return { kind: 'proved', proof: { subject: user } }
  // Strictly an object: a callback that answers some other truthy thing has a bug, and a bug
  // must not log anybody in.
  if (typeof found !== 'object' || found === null) return refused
  const { subject = user, claims } = found
  return { kind: 'proved', proof: { subject, claims } }
}

import type { AuthCounts } from '../../auth/auth-counters.ts'
import { counter } from './family.ts'
import type { Section } from './section.ts'
import { sum, sumBy } from './sum.ts'

export function loginsSection(read: () => AuthCounts): Section<AuthCounts> {
  return {
    name: 'auth',
    read,
    merge: all => ({
      ...sum(all.map(({ logouts, lookups }) => ({ logouts, lookups }))),
      logins: sumBy(
        all.map(({ logins }) => logins),
        ({ method, outcome }) => `${method} ${outcome}`,
      ),
    }),
    families: ({ logins, logouts, lookups: { hit, miss } }) => [
      counter(
        'handfast_logins_total',
        'Log-ins since start, by method and outcome',
        logins.map(({ method, outcome, count }) => ({
          labels: { method, outcome },
          value: count,
        })),
      ),
      counter('handfast_logouts_total', 'Log-outs since start', [{ value: logouts }]),
      counter(
        'handfast_login_lookups_total',
        'Requests since start: hit where the user was known without being asked',
        [
          { labels: { found: 'hit' }, value: hit },
          { labels: { found: 'miss' }, value: miss },
        ],
      ),
    ],
  }
}

import type { AuthCounts } from '../auth/auth-counters.ts'
import type { TransportStats } from '../farm/transport.ts'
import type { HandshakeCounts } from '../resumption/counters.ts'
import type { TableStats } from '../table/record-table.ts'

export interface FarmStats {
  readonly handshakes: HandshakeCounts
  readonly auth: AuthCounts
  /** How often each limit was met since start, by the name of its option. */
  readonly limits: Readonly<Record<string, number>>
  /** Of whoever serves on top of this member; see Farm.served. */
  readonly served: Readonly<Record<string, number>>
  readonly table: TableStats
  readonly transport: TransportStats
}

/**
 * The figures of a host: what its processes count each is summed, and of what they share this
 * one tells. `census`: what those say of themselves that have answered in time.
 */
export function hostStats(
  own: FarmStats,
  census: readonly Partial<FarmStats>[],
): FarmStats {
  const all = census.filter(isWhole)
  const { evicted, expired, corrupt } = sum(all.map(({ table }) => table))
  return {
    handshakes: sum(all.map(({ handshakes }) => handshakes)),
    auth: {
      ...sum(all.map(({ auth: { logouts, lookups } }) => ({ logouts, lookups }))),
      logins: sumLogins(all.flatMap(({ auth }) => auth.logins)),
    },
    limits: sum(all.map(({ limits }) => limits)),
    served: sum(all.map(({ served }) => served)),
    table: { ...own.table, evicted, expired, corrupt },
    transport: own.transport,
  }
}

/** False for a process that has only just come. */
function isWhole(stats: Partial<FarmStats>): stats is FarmStats {
  return stats.handshakes !== undefined
}

/** Numbers that have the same name, at whatever depth. */
function sum<Figures extends object>(all: readonly Figures[]): Figures {
  const total: { [name: string]: unknown } = {}
  for (const name of new Set(all.flatMap(figures => Object.keys(figures)))) {
    const values = all.flatMap(
      figures => (figures as Record<string, unknown>)[name] ?? [],
    )
    total[name] = values.some(value => typeof value === 'object')
      ? sum(values as object[])
      : (values as number[]).reduce((a, b) => a + b, 0)
  }
  return total as Figures
}

function sumLogins(logins: FarmStats['auth']['logins']): FarmStats['auth']['logins'] {
  const total = new Map<string, (typeof logins)[number]>()
  for (const login of logins) {
    const name = `${login.method} ${login.outcome}`
    const count = (total.get(name)?.count ?? 0) + login.count
    total.set(name, { ...login, count })
  }
  return [...total.values()]
}

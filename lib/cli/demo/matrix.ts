import { type Visit, visit } from './client.ts'
import type { Kind } from './kinds.ts'

/** For one kind: what happened when the session of a row was offered in a column. */
export interface Matrix {
  readonly kind: Kind
  readonly ports: readonly number[]
  readonly rows: readonly MatrixRow[]
}

export interface MatrixRow {
  /** The full handshakes that minted the sessions of this row. */
  readonly minted: readonly Visit[]
  readonly offered: readonly Visit[]
}

/** Connections that are not counted: code that runs for the first time is slow. */
const warmUps = 3

/** Mints a session for each cell and offers it once, as a browser would use a ticket. */
export async function measureMatrix(
  kind: Kind,
  ports: readonly number[],
  ca: string,
): Promise<Matrix> {
  for (const port of ports) {
    for (let round = 0; round < warmUps; round += 1) await visit({ port, kind, ca })
  }
  const rows: MatrixRow[] = []
  for (const home of ports) {
    const minted: Visit[] = []
    const offered: Visit[] = []
    for (const port of ports) {
      const first = await visit({ port: home, kind, ca })
      minted.push(first)
      offered.push(await visit({ port, kind, ca, session: first.session }))
    }
    rows.push({ minted, offered })
  }
  return { kind, ports, rows }
}

/** True when every cell resumed, and every mint was a full handshake. */
export function allResumed(matrix: Matrix): boolean {
  return matrix.rows.every(
    row =>
      row.minted.every(({ resumed, session }) => !resumed && session !== undefined) &&
      row.offered.every(({ resumed }) => resumed),
  )
}

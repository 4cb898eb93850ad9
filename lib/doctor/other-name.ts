import type { Client } from './client.ts'
import type { Kind, KindName } from './kind.ts'
import { type Cell, cellOf, type Mint, visitOf } from './matrix.ts'
import type { Target } from './target.ts'

/** A session that was made under one name and offered under another. */
export interface OtherNameCell extends Cell {
  readonly kind: KindName
}

/** On the address that made it, and on the next: neither may resume it (CVE-2025-23419). */
export async function probeOtherName(
  kinds: readonly Kind[],
  targets: readonly Target[],
  otherName: string,
  client: Client,
  mint: Mint,
): Promise<OtherNameCell[]> {
  const cells: OtherNameCell[] = []
  for (const kind of kinds) {
    for (const [i, from] of targets.entries()) {
      const next = targets[(i + 1) % targets.length]
      for (const to of new Set([from, next ?? from])) {
        const place = { kind: kind.name, from: from.label, to: to.label }
        const session = await mint.take(kind, from)
        if (session === undefined) continue
        const visit = { ...visitOf(kind, otherName), session, stay: false }
        cells.push({ ...place, ...cellOf(await client.visit(to, visit)) })
      }
    }
  }
  return cells
}

import type { TableStats } from '../../table/record-table.ts'
import { counter, gauge } from './family.ts'
import type { Section } from './section.ts'
import { sum } from './sum.ts'

export function tableSection(read: () => TableStats): Section<TableStats> {
  return {
    name: 'table',
    read,
    // What is in them is the same; what was lost each counts for itself.
    merge(all, own) {
      const { evicted, expired, corrupt } = sum(all)
      return { ...own, evicted, expired, corrupt }
    },
    wide: ({ records, bytes, maxBytes, evicted }) => ({
      table: { records, bytes, maxBytes, evicted },
    }),
    families: ({ records, bytes, maxBytes, evicted, expired, corrupt }) => [
      gauge('handfast_table_records', 'Records in the table', [{ value: records }]),
      gauge('handfast_table_bytes', 'Bytes that the table holds', [{ value: bytes }]),
      gauge('handfast_table_max_bytes', 'Bytes that the table may hold', [
        { value: maxBytes },
      ]),
      counter('handfast_table_evicted_total', 'Records that had to make room', [
        { value: evicted },
      ]),
      counter('handfast_table_expired_total', 'Records whose time was over', [
        { value: expired },
      ]),
      counter('handfast_table_corrupt_total', 'Records that could not be read', [
        { value: corrupt },
      ]),
    ],
  }
}

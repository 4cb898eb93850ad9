import type { Statement } from './call.ts'
import { quoteName } from './pool.ts'

/** Milliseconds of which `sweep_at` counts; see migrations. */
export const sweepUnit = 600_000

/** Each verb is one statement, and so one transaction and one way to the database and back. */
export interface Statements {
  readonly get: Statement
  readonly insert: Statement
  readonly update: Statement
  readonly remove: Statement
  readonly expire: Statement
  readonly scan: Statement
  readonly sweep: Statement
  readonly publish: Statement
}

/** The clock of the database, for those of servers differ. */
const now = '(extract(epoch from clock_timestamp()) * 1000)::bigint'

/**
 * Commits without waiting for the disk, for what may be forgotten when the database dies. Nothing
 * but the name of the schema is written into a text: all else are parameters.
 */
const lazily = `set_config('synchronous_commit', 'off', true)`

/**
 * The numbers of a key are drawn one at a time, each when the one before can be seen: else one that
 * was drawn early could come in late, after a larger one that has been deleted again.
 */
const locked = `(
        SELECT pg_advisory_xact_lock(hashtextextended($1::text || encode($2::bytea, 'hex'), 1))
      ) AS locked`

export function statementsFor(schema: string): Statements {
  const name = quoteName(schema)
  const entries = `${name}.entries`
  const version = `nextval('${name.replaceAll("'", "''")}.versions'::regclass)`
  const isThere = (row: string) =>
    `(${row}.expires_at IS NULL OR ${row}.expires_at > ${now})`
  const statements: Readonly<Record<keyof Statements, string>> = {
    get: `
      SELECT value, version, expires_at FROM ${entries} AS e
      WHERE tab = $1 AND key = $2 AND ${isThere('e')}`,
    insert: `
      INSERT INTO ${entries} AS old (tab, key, value, version, expires_at, sweep_at)
      SELECT $1::text, $2::bytea, $3::bytea, ${version}, $4::bigint, $5::integer
      FROM ${locked}
      ON CONFLICT (tab, key) DO UPDATE SET
        value = excluded.value, version = excluded.version,
        expires_at = excluded.expires_at, sweep_at = excluded.sweep_at
      WHERE NOT ${isThere('old')}
      RETURNING version`,
    update: `
      UPDATE ${entries} AS e
      SET value = $3::bytea, version = ${version}, expires_at = $4::bigint,
        sweep_at = $5::integer
      FROM ${locked}
      WHERE tab = $1 AND key = $2 AND version = $6 AND ${isThere('e')}
      RETURNING version`,
    remove: `
      DELETE FROM ${entries} AS e
      WHERE tab = $1 AND key = $2 AND ($3::bigint IS NULL OR version = $3)
      RETURNING version, ${isThere('e')}`,
    // Locked first: what is said of the end before must be true of the one that is replaced.
    expire: `
      WITH old AS MATERIALIZED (
        SELECT expires_at AS ended_at, ${lazily} FROM ${entries} AS e
        WHERE tab = $1 AND key = $2 AND ${isThere('e')} FOR UPDATE
      )
      UPDATE ${entries} AS e SET expires_at = $3::bigint, sweep_at = $4::integer
      FROM old
      WHERE tab = $1 AND key = $2
      RETURNING ended_at`,
    scan: `
      SELECT key, value, version, expires_at, ${isThere('e')} FROM ${entries} AS e
      WHERE tab = $1 AND key >= $2 ORDER BY key LIMIT $3`,
    // One server at a time; a step is as long as the lock.
    sweep: `
      WITH turn AS MATERIALIZED (
        SELECT pg_try_advisory_xact_lock(hashtextextended($1, 2)) AS mine, ${lazily}
      ), ended AS MATERIALIZED (
        SELECT tab, key FROM ${entries}
        WHERE (SELECT mine FROM turn) AND sweep_at <= $2 AND expires_at <= ${now}
        LIMIT $3 FOR UPDATE SKIP LOCKED
      ), swept AS (
        DELETE FROM ${entries} AS e USING ended
        WHERE e.tab = ended.tab AND e.key = ended.key AND e.expires_at <= ${now}
        RETURNING 1
      )
      SELECT count(*) FROM swept`,
    publish: `SELECT ${lazily}, pg_notify($1, $2)`,
  }
  return Object.fromEntries(
    Object.entries(statements).map(([verb, text]) => [
      verb,
      { name: `handfast_${verb}`, text },
    ]),
  ) as { [verb in keyof Statements]: Statement }
}

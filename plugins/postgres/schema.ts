import { randomBytes } from 'node:crypto'
import { HandfastError } from '../../lib/errors.ts'
import { feedKeyLength } from '../../lib/state/feed/feed-message.ts'
import type { Run, Statement } from './call.ts'
import { type Pool, quoteName } from './pool.ts'

/**
 * Milliseconds that a step of a migration may take, and the servers that wait for it. It rewrites
 * no table that can be large.
 */
const migrationTimeout = 60_000

/**
 * Each brings the schema to the next version, and is never changed once it was in a release.
 *
 * - `entries`: keys as bytes, whatever the encoding of the database. `sweep_at` is the end in units
 *   of `sweepUnit`: an index over the end itself would be written at each touch of a session.
 * - `versions`: numbers of a sequence, so that those of a key that was deleted do not come again.
 */
const migrations: readonly ((schema: string) => readonly string[])[] = [
  schema => [
    `CREATE SEQUENCE ${schema}.versions AS bigint`,
    `CREATE TABLE ${schema}.entries (
      tab text COLLATE "C" NOT NULL,
      key bytea NOT NULL,
      value bytea NOT NULL,
      version bigint NOT NULL,
      expires_at bigint,
      sweep_at integer,
      PRIMARY KEY (tab, key)
    ) WITH (fillfactor = 80)`,
    `CREATE INDEX entries_sweep ON ${schema}.entries (sweep_at) WHERE sweep_at IS NOT NULL`,
    `CREATE TABLE ${schema}.feed (key bytea NOT NULL)`,
    `INSERT INTO ${schema}.feed VALUES ('\\x${randomBytes(feedKeyLength).toString('hex')}')`,
  ],
]

export const schemaVersion: number = migrations.length

export interface SchemaTerms {
  readonly schema: string
  readonly dangerAcceptLoss: boolean
}

/**
 * Brings the schema to the version of this code, once however many servers start. Resolves with the
 * key of the change feed. A role that may not make tables is enough where all is made already.
 */
export async function openSchema(pool: Pool, terms: SchemaTerms): Promise<Buffer> {
  const { schema, dangerAcceptLoss } = terms
  if (!dangerAcceptLoss) await checkDurability(pool)
  const run: Run = (statement, values) => pool.run(statement, values)
  if ((await versionOf(run, schema)) < schemaVersion) {
    await pool.transaction(migrationTimeout, run => migrate(run, schema))
  }
  const [row] = await pool.run(
    unnamed(`SELECT key FROM ${quoteName(schema)}.feed LIMIT 1`),
    [],
  )
  if (row === undefined) throw newer(`${schema}.feed is empty`)
  return row[0] as Buffer
}

async function migrate(run: Run, schema: string): Promise<void> {
  const name = quoteName(schema)
  await run(unnamed('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))'), [
    `handfast migration ${schema}`,
  ])
  // Somebody else may have done it while this one waited.
  const from = await versionOf(run, schema)
  if (from === 0) {
    const [there] = await run(unnamed('SELECT 1 FROM pg_namespace WHERE nspname = $1'), [
      schema,
    ])
    // Who may not make one can be given one.
    if (there === undefined) await run(unnamed(`CREATE SCHEMA ${name}`), [])
    await run(
      unnamed(
        `CREATE TABLE ${name}.migrations (
          version integer PRIMARY KEY,
          applied_at timestamptz NOT NULL DEFAULT now()
        )`,
      ),
      [],
    )
  }
  for (const [index, migration] of migrations.entries()) {
    if (index < from) continue
    for (const text of migration(name)) await run(unnamed(text), [])
    await run(unnamed(`INSERT INTO ${name}.migrations VALUES ($1)`), [index + 1])
  }
}

/** 0: nothing is there. Rejects for one that is newer than this code. */
async function versionOf(run: Run, schema: string): Promise<number> {
  const table = `${quoteName(schema)}.migrations`
  // Of the catalogue itself: to_regclass may answer from what this connection knew before it waited.
  const [there] = await run(
    unnamed(`SELECT true FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = 'migrations'`),
    [schema],
  )
  if (there === undefined) return 0
  const [row] = await run(unnamed(`SELECT max(version) FROM ${table}`), [])
  const version = Number(row?.[0] ?? 0)
  if (version > schemaVersion) {
    throw newer(
      `the schema ${schema} has version ${version}, this release knows ${schemaVersion}`,
    )
  }
  return version
}

/** What is acknowledged must be there after a crash, or state would promise what isn't true. */
async function checkDurability(pool: Pool): Promise<void> {
  const names = ['fsync', 'synchronous_commit']
  const [row = []] = await pool.run(
    unnamed(`SELECT ${names.map(name => `current_setting('${name}')`).join(', ')}`),
    [],
  )
  const off = names.filter((_, i) => row[i] === 'off')
  if (off.length === 0) return
  throw new HandfastError(
    'ERR_HANDFAST_CONFIG',
    `postgres: ${off.join(' and ')} is off at this database, so that it may lose what it has acknowledged; dangerAcceptLoss: true opens it all the same`,
  )
}

function unnamed(text: string): Statement {
  return { name: '', text }
}

function newer(what: string): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_SCHEMA',
    `postgres: ${what}; use a later release`,
  )
}

import type { HandfastError } from '../../lib/errors.ts'

/** One of the texts that a database is asked with; its name is that of the prepared one. */
export interface Statement {
  readonly name: string
  readonly text: string
}

export type Value = string | number | bigint | boolean | Buffer | null

/** A statement and what it is to be run with. */
export interface Call {
  readonly statement: Statement
  readonly values: readonly Value[]
}

/** Columns in their order: bytea as Buffer, bigint as text. */
export type Row = readonly unknown[]

export type Run = (statement: Statement, values: readonly Value[]) => Promise<Row[]>

/** What became of several calls that were one transaction. */
export type Outcome = { readonly rows: readonly Row[][] } | Undone

export interface Undone {
  readonly fault: HandfastError
  /** The one at which it failed; their number, where that was the commit. */
  readonly at: number
}

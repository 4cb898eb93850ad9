import type { Call, Row, Statement, Value } from './call.ts'

/** A connection of `pg`, as far as its protocol of submittable queries shows it. */
interface Wire {
  readonly stream: { cork(): void; uncork(): void }
  parse(terms: { readonly name: string; readonly text: string }): void
  bind(terms: {
    readonly statement: string
    readonly values: readonly (string | Buffer | null)[]
  }): void
  execute(terms: object): void
  sync(): void
}

/** Names of statements that a connection has been told of. */
const prepared = new WeakMap<object, Set<string>>()

/**
 * Statements that go to PostgreSQL as one message with one Sync behind them ("Pipelining" in the
 * chapter on its protocol). Up to a Sync all is one transaction: one commit, one flush of the log
 * and one way there and back, whatever their number, and a fault undoes them all. So nothing is
 * told of any before the server is ready again: only then is it committed.
 */
export class Pipeline {
  /** `pg` puts its own in the place of it, to bound the time. */
  callback: (error?: Error) => void
  /** What the statements gave, as texts. */
  readonly rows: Row[][] = []
  /** It told the connection of a statement: after a fault nobody knows whether that was heard. */
  hasPrepared = false
  readonly #calls: readonly Call[]
  readonly #isNamed: boolean
  #current: Row[] = []

  /** `isNamed`: statements are prepared once for each connection. */
  constructor(
    calls: readonly Call[],
    isNamed: boolean,
    callback: (error?: Error) => void,
  ) {
    this.#calls = calls
    this.#isNamed = isNamed
    this.callback = callback
  }

  submit(wire: Wire): void {
    wire.stream.cork()
    try {
      for (const { statement, values } of this.#calls) {
        const name = this.#prepare(wire, statement)
        wire.bind({ statement: name, values: values.map(plain) })
        wire.execute({})
      }
      wire.sync()
    } finally {
      wire.stream.uncork()
    }
  }

  handleDataRow({ fields }: { readonly fields: readonly unknown[] }): void {
    this.#current.push(fields)
  }

  handleCommandComplete(): void {
    this.rows.push(this.#current)
    this.#current = []
  }

  handleError(error: Error): void {
    this.callback(error)
  }

  handleReadyForQuery(): void {
    this.callback()
  }

  #prepare(wire: Wire, { name, text }: Statement): string {
    if (!this.#isNamed) {
      wire.parse({ name: '', text })
      return ''
    }
    let known = prepared.get(wire)
    if (known === undefined) {
      known = new Set()
      prepared.set(wire, known)
    }
    if (!known.has(name)) {
      known.add(name)
      this.hasPrepared = true
      wire.parse({ name, text })
    }
    return name
  }
}

function plain(value: Value): string | Buffer | null {
  return value === null || Buffer.isBuffer(value) ? value : String(value)
}

import type { Clock } from '../../../clock.ts'
import { readTold, toldBytes } from '../../checkpoint/told-checkpoint.ts'
import { type LeftConnection, mostConnections } from '../board/board.ts'
import {
  type ConnectionTable,
  ownerOf,
  shortly,
  type TableWord,
} from '../board/connection-table.ts'
import type { MovedConnection } from './holding.ts'
import { type MoveWord, readMoveWord } from './move-word.ts'

/**
 * In the table, about a move:
 *
 *      about        0               16                    32
 *                   +---------------+---------------------+
 *                   | move          | id of a connection  |
 *                   +---------------+---------------------+
 *      word         (without an id) a MoveWord as JSON
 *      connection   as checkpoint/told-checkpoint.ts has it
 *
 * These are apart from the checkpoints: they are of no worth before they are given.
 */
const kind = { word: 4, connection: 5 } as const
const moveLength = 16

/** Where members tell each other of connections that move while both live. */
export class MoveBoard {
  readonly #table: ConnectionTable
  readonly #clock: Clock
  readonly #self: string
  readonly #expected = new Map<string, Expected>()

  /** `onWord`: of what others say to this member. */
  constructor(
    table: ConnectionTable,
    self: string,
    clock: Clock,
    onWord: (word: MoveWord) => void,
  ) {
    this.#table = table
    this.#clock = clock
    this.#self = self
    table.watch(told => {
      if (told.kind === kind.word) {
        const word = readMoveWord(table.open(told.key, told.sealed))
        if (word !== undefined && this.#isFrom(word, told.owner)) onWord(word)
      } else if (told.kind === kind.connection) this.#onConnection(told)
    })
  }

  say(word: MoveWord): void {
    this.#write(kind.word, aboutOf(word.move), Buffer.from(JSON.stringify(word)))
  }

  tell(move: string, moved: MovedConnection): void {
    const about = Buffer.concat([aboutOf(move), moved.id])
    this.#write(kind.connection, about, toldBytes([moved]))
  }

  /** From now on what comes of a move is kept; `onCame` is told how many connections there are. */
  expect(move: string, onCame: (connections: number) => void): void {
    this.#expected.set(move, { connections: new Map(), onCame })
  }

  count(move: string): number {
    return this.#expected.get(move)?.connections.size ?? 0
  }

  left(move: string): LeftConnection[] {
    const connections = this.#expected.get(move)?.connections ?? new Map<string, Came>()
    return [...connections.values()].flatMap(({ key, sealed, toldAt }) => {
      const all = readTold(this.#table.open(key, sealed))
      return all.map(told => ({ ...told, toldAt, standing: 'exact' }))
    })
  }

  forget(move: string): void {
    this.#expected.delete(move)
  }

  close(): void {
    this.#expected.clear()
  }

  #onConnection({ about, key, sealed }: TableWord): void {
    const move = about.toString('hex', 0, moveLength)
    const expected = this.#expected.get(move)
    if (expected === undefined) return
    const { connections, onCame } = expected
    const id = about.toString('hex', moveLength)
    if (connections.has(id) || connections.size >= mostConnections) return
    const toldAt = this.#clock.monotonic()
    connections.set(id, { key: Buffer.from(key), sealed: Buffer.from(sealed), toldAt })
    onCame(connections.size)
  }

  /** Whoever wrote it is who it is from, and it is for this member. */
  #isFrom({ step, from, to }: MoveWord, owner: string): boolean {
    const isReply = step === 'accepts' || step === 'refuses' || step === 'has'
    const [writer, reader] = isReply ? [to, from] : [from, to]
    return reader === this.#self && ownerOf(writer) === owner
  }

  #write(which: number, about: Buffer, value: Buffer): void {
    this.#table.write(which, about, value, shortly)
  }
}

function aboutOf(move: string): Buffer {
  return Buffer.from(move, 'hex')
}

interface Expected {
  readonly connections: Map<string, Came>
  readonly onCame: (connections: number) => void
}

interface Came {
  readonly key: Buffer
  readonly sealed: Buffer
  readonly toldAt: number
}

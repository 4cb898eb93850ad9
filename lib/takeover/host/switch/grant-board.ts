import {
  type ConnectionTable,
  hashOf,
  kind,
  ownerOf,
  shortly,
} from '../board/connection-table.ts'
import {
  type GrantReply,
  type GrantRequest,
  readGrantReply,
  readGrantRequest,
} from './grant-word.ts'

export interface GrantListener {
  /** Somebody asks this member. */
  onRequest(request: GrantRequest): void
  /** Somebody answers it. */
  onReply(reply: GrantReply): void
}

/** Where members ask for connections of dead ones, one by one, and are answered. */
export class GrantBoard {
  readonly #table: ConnectionTable

  constructor(table: ConnectionTable, self: string, listener: GrantListener) {
    this.#table = table
    table.watch(told => {
      const isFrom = (writer: string, reader: string) =>
        reader === self && ownerOf(writer) === told.owner
      if (told.kind === kind.request) {
        const request = readGrantRequest(table.open(told.key, told.sealed))
        if (request && isFrom(request.from, request.to)) listener.onRequest(request)
      } else if (told.kind === kind.reply) {
        const reply = readGrantReply(table.open(told.key, told.sealed))
        if (reply && isFrom(reply.to, reply.from)) listener.onReply(reply)
      }
    })
  }

  ask(request: GrantRequest): void {
    const about = Buffer.from(request.connection, 'hex')
    this.#table.write(kind.request, about, bytesOf(request), shortly)
  }

  reply(reply: GrantReply): void {
    const connection = Buffer.from(reply.connection, 'hex')
    const about = Buffer.concat([hashOf(reply.from), connection])
    this.#table.write(kind.reply, about, bytesOf(reply), shortly)
  }
}

function bytesOf(word: GrantRequest): Buffer {
  return Buffer.from(JSON.stringify(word))
}

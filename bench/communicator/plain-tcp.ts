import { connect, createServer, type Socket } from 'node:net'
import {
  type CacheRecord,
  readRecord,
  recordLength,
  writeRecord,
} from '../../lib/record/record.ts'

const ack = Buffer.from([6])

/** What the communicator is measured against: each record to each peer, each acknowledged. */
export class PlainTcpWriter {
  readonly #peers: { socket: Socket; acked: number }[] = []
  #sent = 0
  readonly #waiting: { sequence: number; resolve: (reached: boolean) => void }[] = []

  async connect(ports: readonly number[]): Promise<void> {
    for (const port of ports) {
      const socket = connect(port, '127.0.0.1')
      socket.setNoDelay(true)
      await new Promise(resolve => socket.once('connect', resolve))
      const peer = { socket, acked: 0 }
      socket.on('data', data => {
        peer.acked += data.length
        this.#settle()
      })
      this.#peers.push(peer)
    }
  }

  publish(record: CacheRecord): Promise<boolean> {
    this.#sent += 1
    const frame = Buffer.allocUnsafe(4 + recordLength(record))
    frame.writeUInt32BE(recordLength(record), 0)
    writeRecord(record, frame, 4)
    for (const { socket } of this.#peers) socket.write(frame)
    return new Promise(resolve => {
      this.#waiting.push({ sequence: this.#sent, resolve })
    })
  }

  close(): void {
    for (const { socket } of this.#peers) socket.destroy()
  }

  #settle(): void {
    const acked = Math.min(...this.#peers.map(peer => peer.acked))
    while ((this.#waiting[0]?.sequence ?? Infinity) <= acked)
      this.#waiting.shift()?.resolve(true)
  }
}

/** Resolves with the port. */
export async function listenPlainTcp(
  apply: (record: CacheRecord) => void,
): Promise<number> {
  const server = createServer(socket => {
    socket.setNoDelay(true)
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', data => {
      rest = rest.length === 0 ? data : Buffer.concat([rest, data])
      while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
        apply(readRecord(rest, 4))
        socket.write(ack)
        rest = rest.subarray(4 + rest.readUInt32BE(0))
      }
    })
    socket.on('error', () => {})
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

import { connect } from 'node:tls'
import { partOf } from '../../test/fixtures/takeover/object.ts'
import type { ClientWord } from './guardian.ts'

/**
 * A download that is broken off by its client: says when it flows, what was the longest silence
 * since it was asked to look, and whether every byte was right.
 */
const length = 20e9
const enough = 20e6

process.on('disconnect', () => process.exit(0))
process.on('message', ({ port, look }: { port?: number; look?: true }) => {
  if (port !== undefined) download(port)
  if (look === true) watch?.()
})

let watch: (() => void) | undefined

function download(port: number): void {
  const socket = connect({
    ...{
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
    },
  })
  let head: string | undefined = ''
  let at = 0
  let isRight = true
  let last = 0
  let stall = 0
  let since: number | undefined
  const end = (failure?: string) => {
    socket.removeAllListeners()
    socket.on('error', () => {})
    socket.destroy()
    say({ stall, failure: failure ?? (isRight ? undefined : 'other bytes') })
  }
  watch = () => {
    since = at
  }
  socket.on('data', (chunk: Buffer) => {
    const now = performance.now()
    if (since !== undefined) stall = Math.max(stall, now - last)
    last = now
    let body = chunk
    if (head !== undefined) {
      head += chunk.toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      body = Buffer.from(head.slice(end + 4), 'latin1')
      head = undefined
      say({ flows: true })
    }
    isRight &&= body.equals(partOf(at, body.length))
    at += body.length
    if (since !== undefined && at > since + enough) end()
  })
  socket.on('error', error => end(error.message))
  socket.on('close', () => end('the connection was closed'))
  socket.write(`GET /${length} HTTP/1.1\r\nHost: bench.test\r\n\r\n`)
}

function say(word: ClientWord): void {
  process.send?.(word)
}

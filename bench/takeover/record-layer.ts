import { once } from 'node:events'
import { connect } from 'node:tls'
import type { BenchmarkContext } from '../benchmark.ts'
import { makeIdentities } from '../certificates/identity.ts'
import { forkChild, stopChild } from '../harness/child.ts'
import { treeCpu } from '../harness/process-cpu.ts'
import { median } from '../harness/statistics.ts'
import { type Part, ratioGoal } from './part.ts'

/** What a server of its own process, with both kinds, listens on. */
export interface RecordLayerPorts {
  readonly tlsSocket: number
  readonly recordLayer: number
  /** OpenSSL is called directly. */
  readonly isDirect: boolean
}

export interface RecordLayerOrders {
  readonly key: string
  readonly cert: string
  /** Bytes of the object. */
  readonly bytes: number
}

const bytes = 200_000_000
const suites = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'] as const
const sources = ['file', 'memory'] as const

/** CPU of a server for a download in our records of TLS 1.3, beside those of TLSSocket. */
export async function recordLayer({ quick, progress }: BenchmarkContext): Promise<Part> {
  const { server } = makeIdentities('p256')
  const child = forkChild(new URL('./record-layer-process.ts', import.meta.url))
  try {
    child.send({ ...server, bytes } satisfies RecordLayerOrders)
    const [ports] = (await once(child, 'message')) as [RecordLayerPorts]
    const cpuOf = async (port: number, ciphers: string, source: string) => {
      const before = treeCpu(child.pid as number) ?? 0
      await download(port, ciphers, source)
      return ((treeCpu(child.pid as number) ?? 0) - before) / (bytes / 1e9)
    }
    const rounds = quick ? 5 : 15
    const cases = suites.flatMap(suite => sources.map(source => ({ suite, source })))
    progress.expect(cases.length * (rounds + 1))
    const measured = cases.map(each => ({ ...each, theirs: [0], ours: [0] }))
    for (const each of measured) [each.theirs, each.ours] = [[], []]
    // The first round warms up, and counts for nothing.
    for (let round = 0; round <= rounds; round++) {
      for (const { suite, source, theirs, ours } of measured) {
        progress.step(`${suite} from ${source}, round ${round}`)
        const his = await cpuOf(ports.tlsSocket, suite, source)
        const own = await cpuOf(ports.recordLayer, suite, source)
        if (round === 0) continue
        theirs.push(his)
        ours.push(own)
      }
    }
    return {
      goals: measured.map(({ suite, source, theirs, ours }) =>
        ratioGoal(
          `CPU of the record layer to that of TLSSocket, ${suite}, from ${source}`,
          1.5,
          ours.map((own, round) => own / (theirs[round] as number)),
        ),
      ),
      tables: [
        {
          title: `Downloads of ${bytes / 1e6} MB, CPU of the server in ms per GB`,
          columns: ['suite', 'source', 'TLSSocket', 'record layer'],
          rows: measured.map(({ suite, source, theirs, ours }) => [
            suite,
            source,
            median(theirs).toFixed(0),
            median(ours).toFixed(0),
          ]),
        },
      ],
      notes: ports.isDirect ? [] : ['without koffi records are sealed by node:crypto'],
    }
  } finally {
    await stopChild(child)
  }
}

async function download(port: number, ciphers: string, source: string): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ciphers })
  let got = 0
  socket.on('data', chunk => {
    got += chunk.length
  })
  socket.write(`GET /${source} HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n`)
  await once(socket, 'close')
  if (got < bytes) throw new Error(`a download of ${got} bytes`)
}

import { detectNative, type NativeSupport } from '../../../takeover/native/detect.ts'
import type { Io } from '../../command.ts'
import { demoCertificate } from '../certificate.ts'
import { paintFor } from '../paint.ts'
import { showHost } from './host-scene.ts'
import { whyNoNetworks } from './networks.ts'
import { type SceneSize, showProcess } from './process-scene.ts'

export interface TakeoverDemoOptions {
  readonly firstPort: number
  /** Default 96 MB at 16 MB/s, and a second. */
  readonly size?: SceneSize | undefined
  readonly detect?: (() => Promise<NativeSupport>) | undefined
}

const usualSize: SceneSize = { bytes: 96e6, rate: 16e6, timeout: 1_000 }

/**
 * A download goes on while the processes that serve it are killed, then while its host is. Answers
 * the exit code: 0 when each of them came whole, over one connection.
 */
export async function runTakeoverDemo(
  options: TakeoverDemoOptions,
  io: Io,
): Promise<number> {
  const { firstPort, size = usualSize, detect = detectNative } = options
  const { sockets, missing } = await detect()
  if (sockets === undefined) {
    io.stderr.write(`handfast demo: no takeover can be shown here: ${missing?.text}\n`)
    return 1
  }
  const paint = paintFor(io.stdout, io.env)
  const say = (text: string) => io.stdout.write(`${text}\n`)
  const certificate = await demoCertificate(io.cwd)
  const outcome = (isRight: boolean) =>
    isRight
      ? paint.good('all bytes came, by SHA-256: one request, one connection, no error\n')
      : paint.bad('the download is not what it should be\n')
  try {
    say(paint.strong('A process dies: handfast proxy --guardian'))
    const isProcess = await showProcess(size, firstPort, certificate, io)
    say(outcome(isProcess))
    say(paint.strong('A host dies: takeover between two proxies'))
    const why = whyNoNetworks()
    if (why !== undefined) {
      say(`can't be shown here, for it takes networks of its own: ${why}`)
      return isProcess ? 0 : 1
    }
    const isHost = await showHost(size, certificate, io)
    say(outcome(isHost))
    return isProcess && isHost ? 0 : 1
  } finally {
    await certificate.remove()
  }
}

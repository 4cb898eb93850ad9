import { relative } from 'node:path'
import { systemClock } from '../../clock.ts'
import { generateSecret } from '../../farm/secret.ts'
import type { Io } from '../command.ts'
import { startBackend } from './backend.ts'
import { demoCertificate } from './certificate.ts'
import { CounterLine } from './counter-line.ts'
import { Fleet } from './fleet.ts'
import { freePorts } from './free-ports.ts'
import { kinds } from './kinds.ts'
import { showLoss } from './loss.ts'
import { allResumed, measureMatrix } from './matrix.ts'
import { renderMatrix } from './matrix-table.ts'
import { type Paint, paintFor } from './paint.ts'
import { renderTryIt } from './try-it.ts'
import { untilStopped } from './until-stopped.ts'

export interface DemoOptions {
  readonly firstPort: number
  /** Exit after the table instead of staying up. */
  readonly once: boolean
}

const proxies = 3

const counted = `The line below counts TLS connections of all three proxies, those of the tables included: full
handshakes, and resumed ones, whose session the proxy had (known here) or got from another one.`

/** Answers the exit code: 0 when everything that should resume did. */
export async function runDemo(options: DemoOptions, io: Io): Promise<number> {
  const say = (text: string) => io.stdout.write(`${text}\n`)
  const paint = paintFor(io.stdout, io.env)
  const { certFile, keyFile, cert: ca, remove } = await demoCertificate(io.cwd)
  const stop = untilStopped()
  const backend = await startBackend()
  let line: CounterLine | undefined
  let fleet: Fleet | undefined
  try {
    fleet = await Fleet.start({
      ports: await freePorts(options.firstPort, proxies),
      backend: backend.url,
      certFile,
      keyFile,
      secret: generateSecret(),
      cwd: io.cwd,
      onLost: (index, reason) => {
        const text = `proxy ${index + 1} ended: ${reason}`
        if (line === undefined) io.stderr.write(`${text}\n`)
        else line.say(text)
      },
    })
    const running = fleet
    say(`three proxies, one farm, backend ${backend.url}\n`)
    const shown = showAll(running, ca, paint, say)
    // A signal may come first; then nobody is left to hear how it ended.
    shown.catch(() => {})
    const outcome = await Promise.race([shown, stop.exitCode])
    if (typeof outcome === 'number') return outcome
    if (options.once) return outcome ? 0 : 1

    say(renderTryIt(running.ports, relative(io.cwd, certFile)))
    say(paint.faint(`${counted}\nCtrl-C ends it.`))
    line = new CounterLine(io.stdout, systemClock, () => running.stats())
    await stop.exitCode
    line.close()
    return outcome ? 0 : 1
  } finally {
    await fleet?.stop()
    await remove()
    await backend.close()
    stop.forget()
  }
}

async function showAll(
  fleet: Fleet,
  ca: string,
  paint: Paint,
  say: (text: string) => void,
): Promise<boolean> {
  let good = true
  for (const kind of kinds) {
    const matrix = await measureMatrix(kind, fleet.ports, ca)
    say(renderMatrix(matrix, paint))
    good = allResumed(matrix) && good
  }
  return (await showLoss(fleet, ca, paint, say)) && good
}

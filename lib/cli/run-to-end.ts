import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'

/** Runs a program on this terminal and answers its exit code, as a shell would. */
export async function runToEnd(file: string, args: readonly string[]): Promise<number> {
  const child = spawn(file, [...args], { stdio: 'inherit' })
  const [code, signal] = (await once(child, 'exit')) as [
    number | null,
    NodeJS.Signals | null,
  ]
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal])
}

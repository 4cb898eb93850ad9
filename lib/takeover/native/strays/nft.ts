import { spawn } from 'node:child_process'

/** Milliseconds, then it has failed. */
const patience = 5_000
/** Bytes of what it says that are kept. */
const mostSaid = 500
/** Where it is, and a service's path may not lead. */
const places = ['/usr/sbin', '/sbin']

/**
 * Runs a script of the packet filter, which the kernel takes whole or not at all; with `check` it only
 * says whether it would. Rejects with what `nft` says of it.
 */
export function runNft(
  script: string,
  { check = false }: { readonly check?: boolean } = {},
): Promise<void> {
  const path = [process.env['PATH'] ?? '', ...places].join(':')
  const child = spawn('nft', check ? ['-c', '-f', '-'] : ['-f', '-'], {
    env: { PATH: path, LC_ALL: 'C' },
    stdio: ['pipe', 'ignore', 'pipe'],
    timeout: patience,
    killSignal: 'SIGKILL',
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < mostSaid) said += text.slice(0, mostSaid)
  })
  // It may end before it has read all: what it says of that is told below.
  child.stdin.on('error', () => {})
  child.stdin.end(script)
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`nft: ${why}`))
    child.once('error', error =>
      fail((error as NodeJS.ErrnoException).code ?? error.message),
    )
    child.once('close', (code, signal) => {
      if (code === 0) resolve()
      else fail(said.trim() || `ended with ${signal ?? code}`)
    })
  })
}

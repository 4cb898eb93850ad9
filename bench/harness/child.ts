import { type ChildProcess, fork, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** A child that was asked to end and did not is killed after this many milliseconds. */
const stopTimeout = 3_000

/** Children that still run: none outlives the benchmark. */
const running = new Set<ChildProcess>()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/**
 * Forks a module of ours, given with its `.ts` name: built it is a `.js` file, and the
 * compiler does not rewrite what stands in a string.
 */
export function forkChild(entry: URL, execArgv?: readonly string[]): ChildProcess {
  const path = pathOf(entry)
  const child = fork(path, [], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    ...(execArgv === undefined ? {} : { execArgv: [...process.execArgv, ...execArgv] }),
  })
  return watch(child)
}

/** Runs a module of ours to its end and hands on each line that it prints. */
export function runChild(
  entry: URL,
  args: readonly string[],
  onLine: (line: string) => void,
): ChildProcess {
  const child = fork(pathOf(entry), [...args], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  if (child.stdout !== null) createInterface(child.stdout).on('line', onLine)
  return watch(child)
}

/**
 * A program in the foreground. What it says is kept for the error, but what goes to `stdout`
 * when that is the descriptor of a file.
 */
export function spawnChild(
  command: string,
  args: readonly string[],
  { stdout = 'pipe', ...options }: SpawnOptions & { stdout?: number | 'pipe' } = {},
): { readonly child: ChildProcess; readonly output: () => string } {
  const child = watch(
    spawn(command, args, { ...options, stdio: ['ignore', stdout, 'pipe'] }),
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-2000)
    })
  }
  return { child, output: () => output }
}

/** Asks the child to end, and kills it when it does not. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (!running.has(child)) return
  const ended = once(child, 'exit')
  if (child.connected) child.disconnect()
  else child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeout)
  await ended
  clearTimeout(timer)
}

/**
 * Ports on 127.0.0.1 that were free a moment ago, for those who must be told theirs. All are
 * held until the last one is known, so they differ.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports: number[] = []
  for (const server of servers) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    ports.push((server.address() as { port: number }).port)
  }
  await Promise.all(
    servers.map(server => new Promise(resolve => server.close(() => resolve(undefined)))),
  )
  return ports
}

function pathOf(entry: URL): string {
  return fileURLToPath(entry).replace(/\.ts$/, extname(import.meta.url))
}

function watch(child: ChildProcess): ChildProcess {
  running.add(child)
  child.on('exit', () => running.delete(child))
  child.on('error', () => running.delete(child))
  return child
}

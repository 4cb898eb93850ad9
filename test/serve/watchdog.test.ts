import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { WatchdogProcess } from '../../lib/serve/process/watchdog.ts'
import { memoryLog } from '../fixtures/farm/stream-member.ts'
import { until } from '../fixtures/until.ts'

/** Writes down what it hears, and ends when it is told that all is over; unless it is deaf. */
const program = `
import { appendFileSync } from 'node:fs'
const [, , file, isDeaf] = process.argv
const say = text => appendFileSync(file, process.pid + ' ' + text + '\\n')
say('is there')
process.on('message', (message, handle) => {
  const what = [message.type, message.id ?? message.addresses?.join()].join(' ').trim()
  say(handle === undefined ? what : what + ', with a handle')
  if (message.type === 'over' && isDeaf === undefined) process.exit(0)
})
`

function started(t: Test, args: readonly string[] = []) {
  const folder = t.testdir({ 'program.mjs': program, heard: '' })
  const file = join(folder, 'heard')
  const log = memoryLog()
  const exec = join(folder, 'program.mjs')
  const one = new WatchdogProcess({ exec, args: [file, ...args] }, log)
  const lines = () => readFileSync(file, 'utf8').split('\n').slice(0, -1)
  return {
    one,
    log,
    /** What those that were started so far have said, without who it was. */
    heard: () => lines().map(line => line.slice(line.indexOf(' ') + 1)),
    pids: () => [...new Set(lines().map(line => Number.parseInt(line, 10)))],
  }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function accepted(t: Test): Promise<Socket> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [socket] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => {
    client.destroy()
    socket.destroy()
    server.close()
  })
  return socket
}

t.test('a process of its own has what is open, until all ends in order', async t => {
  const { one, log, heard, pids } = started(t)
  const socket = await accepted(t)
  one.watchdog.watch(socket)
  one.watchdog.addresses('eth0', ['10.0.0.1'])
  await until(() => heard().length === 3 && one.watchdog.size === 1)
  t.strictSame(heard(), ['is there', 'addresses 10.0.0.1', 'hold 1, with a handle'])
  socket.destroy()
  await until(() => heard().length === 4)
  t.equal(heard()[3], 'retire 1')
  await one.close()
  t.equal(heard()[4], 'over')
  await until(() => !pids().some(isThere))
  await one.close()
  t.strictSame(log.lines, [])
})

t.test('one that died is started again, and told all that is open', async t => {
  const { one, log, heard, pids } = started(t)
  one.watchdog.watch(await accepted(t))
  one.watchdog.addresses('eth0', ['10.0.0.1'])
  await until(() => heard().length === 3)
  const [first = 0] = pids()
  process.kill(first, 'SIGKILL')
  await until(() => heard().length === 6)
  t.strictSame(heard().slice(3).sort(), [
    'addresses 10.0.0.1',
    'hold 2, with a handle',
    'is there',
  ])
  t.equal(pids().length, 2)
  t.match(JSON.stringify(log.lines), /the watchdog has ended, and is started again/)
  await one.close()
})

t.test('one that does not end is ended', async t => {
  const { one, heard, pids } = started(t, ['deaf'])
  await until(() => heard().length === 1)
  // Nothing of it keeps a process alive that has nothing else to do.
  const alive = setInterval(() => {}, 1_000)
  await one.close()
  clearInterval(alive)
  await until(() => !pids().some(isThere))
})

t.test('what is told while there is none is told to the next one', async t => {
  const { one, heard, pids } = started(t)
  await until(() => heard().length === 1)
  process.kill(pids()[0] as number, 'SIGKILL')
  await until(() => !pids().some(isThere))
  one.watchdog.watch(await accepted(t))
  one.watchdog.addresses('eth0', ['10.0.0.2'])
  await until(() => heard().length === 4)
  t.ok(heard().includes('addresses 10.0.0.2'))
  t.match(heard().join(), /hold \d+, with a handle/)
  await one.close()
})

t.test('a program that can not be started is said, and nobody waits for it', async t => {
  const log = memoryLog()
  const one = new WatchdogProcess(
    { exec: join(t.testdir({}), 'nothing.mjs'), args: [] },
    log,
  )
  await until(() => log.lines.length > 0)
  t.match(JSON.stringify(log.lines), /the watchdog has ended/)
  await one.close()
})

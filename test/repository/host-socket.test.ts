import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { HostSocket, type Meeting } from '../../lib/repository/host-socket.ts'

function folder(t: Test): string {
  const made = mkdtempSync(join(tmpdir(), 'meet-'))
  t.teardown(() => rmSync(made, { recursive: true }))
  return join(made, 'a', 'b')
}

function close(t: Test, meeting: Meeting): void {
  if (meeting.kind === 'hub') meeting.stream.destroy()
  else meeting.server.close()
  t.equal(meeting.kind, meeting.kind)
}

t.test('of many that come at once, one is the hub', async t => {
  const path = folder(t)
  const meetings = await Promise.all(
    Array.from({ length: 8 }, () => new HostSocket(path).meet()),
  )
  t.equal(meetings.filter(({ kind }) => kind === 'ours').length, 1)
  for (const meeting of meetings) close(t, meeting)
})

t.test('when the hub has gone the next one is, under a higher number', async t => {
  const path = folder(t)
  for (let round = 1; round <= 3; round += 1) {
    const meeting = await new HostSocket(path).meet()
    t.equal(meeting.kind, 'ours')
    t.ok(readdirSync(path).includes(`${round}`))
    const names = readdirSync(path)
    t.same(
      names.filter(name => name.startsWith(`${round - 1}`)),
      [],
      'the old one is away',
    )
    close(t, meeting)
  }
})

t.test('only this user may look into the folder', async t => {
  const path = folder(t)
  new HostSocket(path)
  t.equal(statSync(path).mode & 0o777, 0o700)
  chmodSync(path, 0o755)
  t.throws(() => new HostSocket(path), { code: 'ERR_HANDFAST_CONFIG' })
})

t.test('a key is the same for all that meet there', async t => {
  const path = folder(t)
  const keys = Array.from({ length: 3 }, () => new HostSocket(path).key())
  t.equal(keys[0]?.length, 32)
  for (const key of keys) t.same(key, keys[0])
  t.same(readdirSync(path), ['key'])
  t.equal(statSync(join(path, 'key')).mode & 0o777, 0o600)
})

t.test('one that has just come leaves it to the others to follow a hub', async t => {
  const path = folder(t)
  const first = await new HostSocket(path).meet()
  close(t, first)
  const newcomer = new HostSocket(path).meet(10_000)
  await new Promise(resolve => setTimeout(resolve, 0))
  const other = await new HostSocket(path).meet()
  t.equal(other.kind, 'ours')
  const meeting = await newcomer
  t.equal(meeting.kind, 'hub')
  close(t, meeting)
  close(t, other)
})

import t from 'tap'
import type { Log } from '../../lib/log.ts'
import { Reloader } from '../../lib/serve/reloader.ts'
import type { ServeSettings } from '../../lib/serve/settings.ts'

const settings: ServeSettings = {
  listen: { host: undefined, port: 1 },
  sites: [],
  farm: { name: 'f', members: [] },
  limits: {},
  tls: {},
  trustedProxies: [],
  workers: 1,
  logLevel: 'info',
  warnings: [],
}

function keepingLog(): Log & { readonly lines: string[] } {
  const lines: string[] = []
  const keep = (level: string) => (fields: object, message?: string) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields)}`)
  }
  const log = {
    lines,
    debug: keep('debug'),
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
    child: () => log,
  }
  return log
}

t.test('new settings are applied, with their warnings', async t => {
  const log = keepingLog()
  const fresh = { ...settings, limits: { idleTimeout: 5 }, warnings: ['mind this'] }
  const applied: ServeSettings[] = []
  const reloader = new Reloader({
    settings,
    load: async () => fresh,
    apply: one => void applied.push(one),
    log,
  })
  await reloader.request()
  t.strictSame(applied, [fresh])
  t.equal(reloader.settings.limits, fresh.limits)
  t.strictSame(log.lines, [
    'warn mind this {}',
    'info reloaded config and certificates {"sites":0}',
  ])
})

t.test('settings that cannot be read or applied are refused with a line', async t => {
  for (const at of ['load', 'apply']) {
    const log = keepingLog()
    const fail = (where: string) => {
      if (where === at) throw new Error(`bad ${where}`)
    }
    const reloader = new Reloader({
      settings,
      async load() {
        fail('load')
        return { ...settings, limits: { idleTimeout: 5 } }
      },
      apply: () => fail('apply'),
      log,
    })
    await reloader.request()
    t.equal(reloader.settings, settings, 'the old ones stay')
    t.match(log.lines, [
      `error reload refused: the old config stays {"reason":"bad ${at}"}`,
    ])
  }
})

t.test('what needs a restart is said at each reload and does not come in', async t => {
  const log = keepingLog()
  const reloader = new Reloader({
    settings,
    load: async () => ({ ...settings, workers: 9 }),
    apply: () => {},
    log,
  })
  await reloader.request()
  await reloader.request()
  t.equal(reloader.settings.workers, 1)
  t.equal(log.lines.filter(line => line.startsWith('warn ports, the farm')).length, 2)
})

t.test('requests during a reload end in one more, not in many', async t => {
  let loads = 0
  let open: () => void = () => {}
  const gate = new Promise<void>(resolve => {
    open = resolve
  })
  const reloader = new Reloader({
    settings,
    async load() {
      loads += 1
      await gate
      return settings
    },
    apply: () => {},
    log: keepingLog(),
  })
  const all = [1, 2, 3, 4].map(() => reloader.request())
  open()
  await Promise.all(all)
  t.equal(loads, 2)
})

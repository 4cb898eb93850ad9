import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import type { FarmFigures } from '../../lib/admin/farm-wide.ts'
import { type Admin, createFarm, generateSecret } from '../../lib/index.ts'
import type { FarmStats } from '../../lib/member/farm.ts'
import type { RequestFigures } from '../../lib/proxy/traffic.ts'
import { FakeStore } from '../fixtures/cache/fake-tier.ts'
import { browserPath, startBrowser } from '../fixtures/process/chromium.ts'
import { type FarmProxy, farmProxies } from '../fixtures/proxy/farm.ts'
import { startBackend } from '../fixtures/proxy/servers.ts'
import { ask, site } from '../fixtures/proxy/sites.ts'

const skip = browserPath === undefined && 'no Chromium here'
const patience = { timeout: 300_000 }

interface Status extends FarmStats {
  readonly farmWide: FarmFigures
  readonly requests: RequestFigures
}

/** Two members, of which the first has an admin port, and a backend that is down. */
async function farm(t: Test): Promise<FarmProxy & { admin: Admin; at: string }> {
  const backend = await startBackend(t, (_request, response) => response.end('x'))
  const sites = [
    await site('a.test', [backend.url]),
    await site('b.test', ['http://127.0.0.1:1']),
  ]
  const [one, two] = (await farmProxies(t, { count: 2, sites: () => sites })) as [
    FarmProxy,
    FarmProxy,
  ]
  const admin = await one.farm.admin({ listen: 0 })
  await two.farm.admin({ listen: 0 })
  for (const { port } of [one, two]) {
    await ask(port, 'a.test')
    await ask(port, 'b.test')
  }
  return { ...one, admin, at: `http://127.0.0.1:${admin.port}/` }
}

interface Look {
  readonly width?: number
  readonly dark?: boolean
}

/** What pages say on their console, and ask of others. */
const faults: string[] = []

/** The page once it lives; what it says on its console is a fault. */
async function open(t: Test, browser: Browser, at: string, look: Look = {}) {
  const { width = 1280, dark = false } = look
  const page = await browser.newPage({
    viewport: { width, height: 900 },
    colorScheme: dark ? 'dark' : 'light',
  })
  page.on('console', message => faults.push(message.text()))
  page.on('pageerror', error => faults.push(error.message))
  page.on('request', request => {
    if (!request.url().startsWith(at)) faults.push(request.url())
  })
  t.teardown(() => page.close())
  await page.goto(at)
  await drawn(page)
  return page
}

/** It has drawn something new. (Its policy lets nobody wait inside of it.) */
async function drawn(page: Page): Promise<void> {
  const times = () => page.evaluate<number>('Number(document.body.dataset.drawn || 0)')
  const before = await times()
  const deadline = Date.now() + patience.timeout
  while ((await times()) === before) {
    if (Date.now() > deadline) throw new Error('the page draws nothing')
    await page.waitForTimeout(50)
  }
}

/** A table as its rows have it. */
async function tableOf(page: Page, id: string): Promise<string[][]> {
  const rows = await page.locator(`#${id} tbody tr`).all()
  return Promise.all(rows.map(row => row.locator('th, td').allInnerTexts()))
}

t.test(
  'the page has the figures of the status, and shows who is away',
  { skip },
  async t => {
    const { at } = await farm(t)
    const browser = await startBrowser(t)
    const page = await open(t, browser, at)
    const status = (await (await fetch(`${at}status`)).json()) as Status
    await drawn(page)
    t.equal(await page.title(), `handfast: farm handfast (${new URL(at).host})`)
    t.match(await page.innerText('#state'), /live/)

    const { full, resumed } = status.handshakes
    const causes = await tableOf(page, 'p-handshakes-all')
    const told = causes.reduce((total, [, count = '']) => total + Number(count), 0)
    t.equal(told, full + resumed)

    const requests = await tableOf(page, 'p-requests-all')
    for (const [name = '', good, , , bad] of requests) {
      const of = (first: string) =>
        status.requests.counts
          .filter(({ site, status }) => site === name && status[0] === first)
          .reduce((total, { count }) => total + count, 0)
      t.equal(Number(good), of('2'), `${name}: 2xx`)
      t.equal(Number(bad), of('5'), `${name}: 5xx`)
    }
    t.same(requests.map(([name]) => name).sort(), ['a.test', 'b.test'])
    const backends = await tableOf(page, 'p-backends-all')
    t.match(
      backends.find(([origin]) => origin === 'http://127.0.0.1:1'),
      [/./, /well|failing/, '0', '0', '1', /refused 1/],
    )
    t.equal((await tableOf(page, 'p-members-all')).length, 2)
    t.equal((await tableOf(page, 'p-certificates-all')).length, 2)
    // The farm's are told every five seconds.
    await page.waitForSelector('#legend li', patience)
    t.match(await page.innerText('#legend'), /nothing offered: \d/)
    t.equal(await page.isVisible('#alarm'), false)
  },
)

t.test('sections that are not known to the page are on it', { skip }, async t => {
  const { at, farm: member } = await farm(t)
  const add = (name: string, value: object) =>
    member.sections.add({
      name,
      read: () => value,
      merge: (_all, own) => own,
      families: () => [],
    })
  add('queues', [{ class: 'gold', waiting: 3 }])
  add('novelty', { some: { thing: 7 } })
  const page = await open(t, await startBrowser(t), at)
  t.match(await page.innerText('[data-section=queues]'), /gold\s+3/)
  t.match(await page.innerText('[data-section=novelty]'), /some thing\s+7/)
})

t.test('tiers beyond the members are on the page', { skip }, async t => {
  const store = new FakeStore('disk', true)
  const member = await createFarm({ secret: generateSecret(), tiers: [store.tier] })
  t.teardown(() => member.close())
  const { port } = await member.admin({ listen: 0 })
  const page = await open(t, await startBrowser(t), `http://127.0.0.1:${port}/`)
  t.match(await page.innerText('[data-section=tiers]'), /disk\s+well\s+none yet\s+0\s+0/)
})

t.test('names are text, and who has the token revokes', { skip }, async t => {
  const { at, farm: member, admin } = await farm(t)
  const page = await open(t, await startBrowser(t), at)
  await page.fill('#token', 'wrong')
  await page.click('#unlock button')
  await page.waitForSelector('#unlock-note.bad', patience)
  t.equal(await page.isVisible('#unlocked'), false)
  t.match(faults.splice(0), [/status of 401/])

  await page.fill('#token', admin.token ?? '')
  await page.keyboard.press('Enter')
  await page.waitForSelector('#unlocked', { state: 'visible', ...patience })
  const user = '<img src=x onerror=alert(1)>'
  await page.fill('#name', user)
  await page.fill('#reason', '<b>left</b>')
  await page.click('#revoke button')
  await page.waitForSelector('#sure[open]', patience)
  t.equal(await page.evaluate('document.activeElement.value'), 'no', 'no is first')
  await page.click('#sure button[value=no]')
  t.same(member.revocations(), [], 'who says no has revoked nobody')
  await page.click('#revoke button')
  await page.click('#sure button[value=yes]')
  await page.waitForSelector('#revoked.good', patience)
  t.match(member.revocations(), [{ kind: 'user', name: user, reason: '<b>left</b>' }])
  const [row = []] = await tableOf(page, 'revocation-list-all')
  t.match(row, [`user ${user}`, /./, /./, '<b>left</b>'])
  t.equal(await page.locator('img, b').count(), 0)
  const kept =
    'JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])'
  t.equal(await page.evaluate(kept), '[{},{},""]', 'the token is kept nowhere')
})

t.test(
  'it can be read on a phone, in the dark, and by the keyboard',
  { skip },
  async t => {
    const { at } = await farm(t)
    const browser = await startBrowser(t)
    const folder = await mkdtemp(join(tmpdir(), 'handfast-dashboard-'))
    t.comment(`pictures in ${folder}`)
    for (const [name, look] of Object.entries({
      light: {},
      dark: { dark: true },
      phone: { width: 400 },
      'dark phone': { width: 400, dark: true },
    } satisfies Record<string, Look>)) {
      const page = await open(t, browser, at, look)
      const wide = 'document.documentElement.scrollWidth > innerWidth'
      t.equal(await page.evaluate(wide), false, `${name}: nothing hangs over`)
      const back = 'getComputedStyle(document.body).backgroundColor'
      const isDark = /^rgb\((?:\d|[1-4]\d), /.test(String(await page.evaluate(back)))
      t.equal(isDark, name.includes('dark'), name)
      await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true })
    }
    const page = await open(t, browser, at)
    await page.keyboard.press('Tab')
    t.equal(await page.evaluate('document.activeElement.className'), 'skip')
    const unnamed =
      '[...document.querySelectorAll("section, table, svg[role=img], input, select, button")]' +
      '.filter(e => !(e.labels?.length || e.ariaLabel || e.caption || e.textContent.trim() ||' +
      ' e.getAttribute("aria-labelledby"))).map(e => e.outerHTML)'
    t.same(await page.evaluate(unnamed), [], 'all have a name')
    const headless =
      'document.querySelectorAll("table:not(:has(thead th[scope=col]))").length'
    t.equal(await page.evaluate(headless), 0, 'tables have heads')
  },
)

t.test('a page that has lost its server says so, and comes back', { skip }, async t => {
  const { at, admin, farm: member } = await farm(t)
  const page = await open(t, await startBrowser(t), at)
  page.removeAllListeners('console')
  await admin.close()
  await page.waitForSelector('#state.bad', patience)
  await member.admin({ listen: admin.port })
  await page.waitForSelector('#state.good', patience)
  t.pass('it lives')
})

t.test('nothing was said on the console, nothing asked of others', { skip }, async t => {
  t.same(faults, [])
})

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { objectBackend } from '../fixtures/backend/object-backend.ts'
import { browserPath, startBrowser } from '../fixtures/process/chromium.ts'
import { GuardedProxy, withGuardian } from '../fixtures/serve/guarded-proxy.ts'
import { partOf } from '../fixtures/takeover/object.ts'

/** More than kernels and the browser hold while it is on its way. */
const object = Buffer.concat(
  Array.from({ length: 1_200 }, (_, index) => partOf(index * 262_144, 262_144)),
)
const sha256 = createHash('sha256').update(object).digest('hex')
const here = {
  ...(browserPath === undefined && process.env['CI'] === undefined
    ? { skip: 'no Chromium here: apt install chromium' }
    : withGuardian),
  timeout: 300_000,
}

t.test(
  'a browser downloads through workers that are killed, and sees no error',
  here,
  async t => {
    const backend = await objectBackend(t, object)
    // However fast it is, it does not end before the workers do.
    backend.holdAt = object.length - 1
    const proxy = await GuardedProxy.start(t, backend.url, 1)
    const browser = await startBrowser(t)
    const context = await browser.newContext({
      ignoreHTTPSErrors: true,
      acceptDownloads: true,
    })
    const page = await context.newPage()
    await page.goto(`https://localhost:${proxy.port}/word`)
    const begun = page.waitForEvent('download')
    // A click on a link with `download` is lost in Chromium now and then when it is busy.
    page.goto(`https://localhost:${proxy.port}/object`).catch(() => {})
    const download = await begun
    await proxy.until(({ protected: now }) => now.answers === 1)
    proxy.killAll()
    backend.release()
    t.equal(await download.failure(), null)
    const file = await download.path()
    t.equal(createHash('sha256').update(readFileSync(file)).digest('hex'), sha256)
    const asked = backend.asked.filter(line => line === 'GET /object')
    t.comment(`the object, or its rest, was asked for ${asked.length} times`)
  },
)

import { Agent, request } from 'node:https'
import t from 'tap'
import type { BackendFigures } from '../../../lib/proxy/section/backends.ts'
import { ObjectProcess } from '../../fixtures/backend/object-process.ts'
import { startProxy, type TestProxy } from '../../fixtures/proxy/servers.ts'

const size = 100
const clients = 40
const requests = 1_000

/** The status of a request, or the code of its error. */
function get(port: number, agent: Agent, method: string): Promise<string> {
  const options = { port, agent, method, rejectUnauthorized: false }
  return new Promise(resolve => {
    const asked = request(options, response => {
      response.resume()
      response.on('end', () => resolve(`${response.statusCode}`))
      response.on('error', error => resolve(error.message))
    })
    asked.on('error', error => resolve(error.message))
    asked.end(method === 'PUT' ? 'some' : undefined)
  })
}

function figuresOf({ proxy }: TestProxy, url: string): BackendFigures | undefined {
  const section = proxy.sections.find(({ name }) => name === 'backends')
  const all = (section?.read() ?? []) as readonly BackendFigures[]
  return all.find(({ origin }) => origin === url)
}

t.test('one of two backends is killed under load, and no client notices', async t => {
  const [one, two] = [new ObjectProcess(t, size), new ObjectProcess(t, size)] as const
  await Promise.all([one.start(), two.start()])
  const proxy = await startProxy(t, { backends: [one.url, two.url] })
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const outcomes = new Map<string, number>()
  let begun = 0
  let killed: Promise<void> | undefined
  const client = async () => {
    while (begun < requests) {
      begun += 1
      if (begun === requests / 4) killed = one.kill()
      const outcome = await get(proxy.port, agent, begun % 5 === 0 ? 'PUT' : 'GET')
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  await killed
  t.strictSame([...outcomes], [['200', requests]])
  const { errors = {}, sent = 0 } = figuresOf(proxy, one.url) ?? {}
  const failed = Object.values(errors).reduce((a, b) => a + b, 0)
  t.ok(failed > 0 && failed <= clients + 10, `${failed} of ${sent} found it dead`)
})

t.test('all backends are down and back, and are used again', async t => {
  const backend = new ObjectProcess(t, size)
  await backend.start()
  const proxy = await startProxy(t, { backends: [backend.url] })
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  t.equal(await get(proxy.port, agent, 'GET'), '200')
  await backend.kill()
  for (let i = 0; i < 5; i++) t.equal(await get(proxy.port, agent, 'GET'), '502')
  await backend.start()
  for (let i = 0; i < 5; i++) {
    t.equal(await get(proxy.port, agent, 'GET'), '200', 'the first request finds it')
  }
})

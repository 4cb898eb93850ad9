import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express from 'express'
import session from 'express-session'
import { openStore, type StoreName } from '../../test/fixtures/state/session-stores.ts'

export interface SessionServerOrder {
  readonly store: StoreName
  readonly url: string
}

/** A server with sessions, as its documentation says: `/` looks at one, `/add` changes it. */
const [{ store: name, url }] = (await once(process, 'message')) as [SessionServerOrder]
const { store, instance } = await openStore({ teardown: () => {} }, name, url)
const app = express()
if (instance !== undefined) app.use(instance)
app.use(session({ secret: 'x', resave: false, saveUninitialized: false, store }))
app.get('/add', (request, response) => {
  const shown: unknown = Reflect.get(request.session, 'items')
  const items = Array.isArray(shown) ? shown : []
  Reflect.set(request.session, 'items', [...items.slice(-9), { id: items.length, n: 1 }])
  response.end('added')
})
app.get('/', (request, response) => {
  const items: unknown = Reflect.get(request.session, 'items')
  response.end(Array.isArray(items) ? 'known' : 'unknown')
})
const server = app.listen(0, '127.0.0.1', () => {
  process.send?.((server.address() as AddressInfo).port)
})
process.on('disconnect', () => process.exit())

/**
 * What needs the token. It is in a variable and nowhere else: another program may have this port
 * tomorrow, and would read what a browser keeps for it.
 */
export const revoke: string = /* js */ `
let token

async function call(path, body) {
  const answer = await fetch(path, {
    method: body ? 'POST' : 'GET', body: body && JSON.stringify(body), headers: { authorization: 'Bearer ' + token },
    mode: 'same-origin', credentials: 'omit', cache: 'no-store', redirect: 'error',
  })
  const told = await answer.json()
  if (answer.status !== 200) throw new Error(told.error || 'status ' + answer.status)
  return told
}

async function list() {
  const { revocations } = await call('/revocations')
  const rows = revocations.slice(0, 500).map(({ kind, name, at, until, reason }) =>
    [worded(kind) + (name === undefined ? '' : ' ' + name), dateTime(at), dateTime(until), reason])
  table(byId('revocation-list'), 'all', 'The newest first', ['What', 'Revoked', 'Until', 'Reason'], rows)
  note(byId('revocation-list'), 'more', revocations.length > 500 ? 'and ' + count(revocations.length - 500) + ' more' : '')
}

byId('unlock').addEventListener('submit', async event => {
  event.preventDefault()
  token = byId('token').value.trim()
  byId('token').value = ''
  try {
    await list()
    byId('unlock').hidden = true
    byId('unlocked').hidden = false
    byId('kind').focus()
  } catch (error) {
    token = undefined
    setText(byId('unlock-note'), 'Not shown: ' + error.message)
    setClass(byId('unlock-note'), 'note bad')
  }
})

byId('kind').addEventListener('change', () => {
  byId('name-label').hidden = byId('kind').value === 'all'
})

byId('revoke').addEventListener('submit', async event => {
  event.preventDefault()
  const kind = byId('kind').value
  const name = byId('name').value
  if (kind !== 'all' && name === '') {
    setText(byId('revoked'), 'Say whom or what: a name is missing.')
    byId('name').focus()
    return
  }
  setText(byId('sure-what'), kind === 'all' ? 'Every session of every client, and the keys of all tickets.' : worded(kind) + ' ' + name)
  byId('sure').returnValue = 'no'
  byId('sure').showModal()
  await new Promise(resolve => byId('sure').addEventListener('close', resolve, { once: true }))
  if (byId('sure').returnValue !== 'yes') return
  const body = { [kind]: kind === 'all' ? true : name, reason: byId('reason').value }
  if (byId('keep-open').checked) body.close = false
  try {
    const { everywhere, reachable, missing } = await call('/revoke', body)
    const who = missing.map(({ id, address }) => [id, address].filter(Boolean).join(' at ')).join(', ')
    setText(byId('revoked'), everywhere ? 'Revoked: all members have it.'
      : reachable ? 'Revoked on all members that can be reached; not on these, until they are back: ' + who
      : 'Revoked here; not every member that can be reached has confirmed it in time.')
    setClass(byId('revoked'), everywhere ? 'good' : 'bad')
    byId('name').value = ''
    byId('reason').value = ''
    await list()
  } catch (error) {
    setText(byId('revoked'), 'Not revoked: ' + error.message)
    setClass(byId('revoked'), 'bad')
  }
})

setInterval(() => { if (token !== undefined) list().catch(() => {}) }, 10000)
`

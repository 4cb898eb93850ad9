/**
 * A panel for each section of the status. Those that the page knows have one made for them; any
 * other is shown as it is, so that what is added to the status is on the page.
 */
export const panels: string = /* js */ `
const ready = { ready: 'good', joining: 'warn', suspect: 'warn', gone: 'bad', refused: 'bad', left: '' }

function drawMembers(status) {
  const body = panel('members', 'Members')
  const away = new Map(status.absent.map(each => [each.id || each.address, each]))
  const told = new Map((status.farmWide ? status.farmWide.members : []).map(each => [each.id, each]))
  const known = status.members.length > 0 ? status.members
    : [{ id: 'this one', self: true, state: 'ready', address: 'a farm of one' }]
  const figuresOf = id => {
    const { figures, age } = told.get(id) || {}
    if (!figures) return ['', '', '', '']
    const { causes } = figures
    const { resumed, full, all } = totals(causes)
    return [num(percent(resumed / all)), causes['resumed:local'] || 0, causes['resumed:peer'] || 0,
      causes['resumed:ticket'] || 0, full].concat(age > 30000 ? [{ text: 'told ' + duration(age / 1000) + ' ago', kind: 'warn' }] : [''])
  }
  const rows = known.map(({ id, address, state, self, reason }) => {
    const gone = away.get(id)
    away.delete(id)
    const words = reason ? state + ': ' + reason : state
    const absence = gone ? 'away for ' + duration(gone.away / 1000) : ''
    return [self && id !== 'this one' ? id + ' (this one)' : id, address || 'not reachable from outside',
      { text: absence ? words + ', ' + absence : words, kind: gone ? 'bad' : ready[state] || '' }, ...figuresOf(id)]
  })
  for (const { id, address, away: ms } of away.values()) {
    const words = (id ? 'not reached' : 'never met') + ', away for ' + duration(ms / 1000)
    rows.push([id || 'configured', address || 'no address', { text: words, kind: 'bad' }, '', '', '', '', '', ''])
  }
  table(body, 'all', 'Who is there, and what resumes where', ['Member', 'Address', 'State', 'Resumed', 'local', 'peer', 'ticket', 'Full', ''], rows.map(row => row.concat(Array(Math.max(0, 9 - row.length)).fill(''))))
  if (status.absent.length > 0) note(body, 'absent', 'Members that are away go on with what is revoked until they are back.')
  else note(body, 'absent', '')
  const alarm = status.absent.length === 0 ? '' : status.absent.length + ' of the farm can not be reached: ' +
    status.absent.map(({ id, address }) => [id, address].filter(Boolean).join(' at ')).join(', ')
  byId('alarm').hidden = alarm === ''
  setText(byId('alarm'), alarm)
}

function drawTiles(status, scope) {
  const { handshakes, requests, connections, process } = status
  const now = ratesOf(scope, 10000)
  const minute = ratesOf(scope, 60000)
  const last = minute && totals(minute.causes).all > 0 ? totals(minute.causes) : undefined
  const ever = totals(samples.length > 0 ? samples[samples.length - 1][scope].causes : handshakes.causes)
  tile('rate', 'Resumed', percent(last ? last.resumed / last.all : ever.resumed / ever.all), last ? 'in the last minute' : 'since start')
  tile('handshakes', 'Handshakes', now ? perSecond(totals(now.causes).all / now.seconds) : '...', count(ever.all) + ' since start')
  if (requests) tile('requests', 'Requests', now ? perSecond(now.requests / now.seconds) : '...', count(requests.total) + ' on this host')
  if (connections) {
    const open = Object.values(connections).reduce((sum, value) => sum + value, 0)
    tile('connections', 'Open connections', count(open), Object.entries(connections).map(([kind, value]) => worded(kind) + ' ' + count(value)).join(', '))
  }
  const { full, resumed } = handshakes.cpu
  const each = full.seconds - resumed.seconds
  if (full.samples < 5 || resumed.samples < 5) tile('saved', 'CPU saved', '...', 'too few measured yet')
  else tile('saved', 'CPU saved', each > 0 ? duration(each * handshakes.resumed) : 'none',
    'on this host; full ' + duration(full.seconds) + ', resumed ' + duration(resumed.seconds) + ', measured')
  const there = status.members.filter(({ state }) => state === 'ready').length || 1
  tile('members', 'Members', String(there) + (status.absent.length > 0 ? ', ' + status.absent.length + ' away' : ''), status.transport.processes > 1 ? status.transport.processes + ' processes here' : '')
  tile('process', 'CPU of this host', cpuOf(process), 'of a core; ' + bytes(process.residentBytes) + ', loop ' + duration(process.loopLag.p99) + ' late (p99)')
}

let cpuBefore
function cpuOf({ cpuSeconds, uptime }) {
  const now = { t: performance.now() / 1000, cpu: cpuSeconds.user + cpuSeconds.system, uptime }
  const before = cpuBefore
  if (!before || now.t - before.t > 3) cpuBefore = now
  if (!before || now.cpu < before.cpu || now.t - before.t < 0.5) return byId('t-process') ? byId('t-process').textContent : '...'
  return percent((now.cpu - before.cpu) / (now.t - before.t))
}

const known = {
  requests({ counts, durations }) {
    const sites = new Map()
    for (const { site, status, count } of counts) {
      const of = sites.get(site) || {}
      const kind = status === 'other' ? 'other' : status[0] + 'xx'
      of[kind] = (of[kind] || 0) + count
      sites.set(site, of)
    }
    const rows = [...sites].map(([site, of]) => {
      const took = durations.find(each => each.site === site)
      const all = took ? took.counts.reduce((sum, value) => sum + value, 0) : 0
      return [site, of['2xx'] || 0, of['3xx'] || 0, of['4xx'] || 0, { text: of['5xx'] || 0, n: true, kind: of['5xx'] ? 'bad' : '' },
        num(all > 0 ? duration(took.seconds / all) : '')]
    })
    table(panel('requests', 'Requests'), 'all', 'Since start, by site', ['Site', '2xx', '3xx', '4xx', '5xx', 'Mean time'], rows)
  },
  backends(backends) {
    const rows = backends.map(each => {
      const { origin, ready, processes, requests, webSockets, sent, errors } = each
      const down = ready < processes
      const failed = Object.entries(errors || {}).map(([kind, value]) => kind + ' ' + count(value)).join(', ')
      const state = each.state || (down ? 'failing' : 'well')
      return [origin, { text: processes > 1 && down ? 'failing for ' + (processes - ready) + ' of ' + processes + ' processes' : state, kind: down || /down|fail|sick|drain/.test(state) ? 'bad' : 'good' },
        requests, webSockets, sent, { text: failed || 'none', kind: failed ? 'warn' : '' }]
    })
    table(panel('backends', 'Backends'), 'all', 'Now, and since start', ['Backend', 'State', 'Open', 'WebSockets', 'Sent', 'Errors'], rows)
  },
  certificates(certificates) {
    const rows = certificates.map(({ names, notAfter }) => {
      const days = Math.floor((notAfter - Date.now()) / 86400000)
      const words = days < 0 ? 'has run out' : 'in ' + days + (days === 1 ? ' day' : ' days')
      return [names.join(', ') || 'default', dateTime(notAfter), { text: words, kind: days < 7 ? 'bad' : days < 21 ? 'warn' : 'good' }]
    })
    table(panel('certificates', 'Certificates'), 'all', 'When they run out', ['Site', 'Until', 'Runs out'], rows)
  },
  table({ records, bytes: held, maxBytes, evicted, expired, corrupt }) {
    const body = panel('table', 'Table and shelf')
    table(body, 'all', 'What this host holds, and has lost since start', ['Figure', 'Value'], [
      ['records', records], ['held', num(bytes(held) + ' of ' + bytes(maxBytes) + ' (' + percent(held / maxBytes) + ')')],
      ['evicted', { text: evicted, n: true, kind: evicted > 0 ? 'warn' : '' }], ['expired', expired],
      ['corrupt', { text: corrupt, n: true, kind: corrupt > 0 ? 'bad' : '' }],
    ])
    if (evicted > 0) note(body, 'note', 'What is evicted would have resumed: farm.memory is too small for sessionTimeout.')
  },
  revocations(counts) {
    const rows = Object.entries(counts).map(([kind, value]) => [worded(kind), value])
    table(byId('revocation-counts'), 'all', 'How many, by what they name', ['Kind', 'In force'], rows.length > 0 ? rows : [['none', 0]])
  },
  auth({ logins, logouts, lookups }) {
    if (logins.length === 0 && lookups.hit + lookups.miss === 0) return
    const body = panel('auth', 'Log-ins')
    const rows = logins.map(({ method, outcome, count }) => [method, { text: outcome, kind: outcome === 'proved' ? 'good' : 'warn' }, count])
    table(body, 'all', 'Since start', ['Method', 'Outcome', 'Count'], rows)
    note(body, 'note', percent(lookups.hit / (lookups.hit + lookups.miss)) + ' of requests came from somebody who was known; ' + count(logouts) + ' log-outs')
  },
  handshakes({ causes, unstored, failed }) {
    const rows = Object.entries(causes).sort(([, a], [, b]) => b - a).map(([name, value]) => [causeWords(name), value])
    for (const [name, value] of Object.entries(unstored)) rows.push(['not stored: ' + worded(name), value])
    table(panel('handshakes', 'Handshakes of this host'), 'all', 'Since start, by cause', ['Cause', 'Count'], rows)
  },
  process({ gc, heapBytes, residentBytes, loopLag, uptime, cpuSeconds }) {
    table(panel('process', 'Processes of this host'), 'all', 'Together; of the lag the worst', ['Figure', 'Value'], [
      ['CPU since start', num(duration(cpuSeconds.user) + ' user, ' + duration(cpuSeconds.system) + ' system')],
      ['memory', num(bytes(residentBytes))], ['heap', num(bytes(heapBytes))],
      ['event loop late', num('mean ' + duration(loopLag.mean) + ', p99 ' + duration(loopLag.p99) + ', most ' + duration(loopLag.max))],
      ['garbage collection', num(count(gc.runs) + ' runs, ' + duration(gc.seconds))], ['up', num(duration(uptime))],
    ])
  },
  tiers(tiers) {
    const rows = Object.entries(tiers).map(([name, { hits, misses, open, behind, ...more }]) => [
      name,
      open ? { text: 'passed by', kind: 'bad' } : behind ? { text: 'behind', kind: 'warn' } : { text: 'well', kind: 'good' },
      num(percent(hits / (hits + misses))), hits, misses,
      flatWords(Object.fromEntries(Object.entries(more).filter(([, value]) => value !== 0))),
    ])
    if (rows.length === 0) return
    table(panel('tiers', 'Tiers'), 'all', 'What lies beyond the members', ['Tier', 'State', 'Hit rate', 'Hits', 'Misses', ''], rows)
  },
  limits(limits) {
    const rows = Object.entries(limits).map(([name, value]) => [name, { text: value, n: true, kind: 'warn' }])
    if (rows.length > 0) table(panel('limits', 'Limits met'), 'all', 'Since start, by option', ['Option', 'Count'], rows)
  },
  connections() {},
  farmWide() {},
}

function drawSections(status) {
  for (const [name, value] of Object.entries(status)) {
    if (['farm', 'members', 'absent'].includes(name)) continue
    if (Object.hasOwn(known, name)) known[name](value)
    else drawAny(name, value)
  }
}

const titles = { transport: 'Between the members', log: 'Log', queues: 'Queues' }

// A list of things is a table with a column for each of their figures; all else has two columns.
function drawAny(name, value) {
  let body = panel(name, titles[name] || worded(name).replace(/^./, first => first.toUpperCase()))
  if (Array.isArray(value) && value.every(each => typeof each === 'object' && each !== null)) {
    const flat = value.map(each => Object.fromEntries(flattened(each)))
    const columns = [...new Set(flat.flatMap(Object.keys))]
    if (columns.length === 0) return
    table(body, columns.join('-').replace(/[^a-z-]/gi, ''), 'Now, or since start', columns.map(worded), flat.map(each => columns.map(column => each[column])))
    return
  }
  const rows = flattened(value).map(([figure, of]) => [worded(figure), of])
  if (rows.length > 12) body = folded(body, rows.length + ' figures')
  table(body, 'all', 'Now, or since start', ['Figure', 'Value'], rows)
}

// Open only for who wants to see it.
function folded(body, title) {
  const id = body.id + '-more'
  const known = byId(id)
  if (known) return known
  const inside = make('div', { id })
  body.append(make('details', {}, make('summary', {}, title), inside))
  return inside
}

function flattened(value, before = '') {
  if (typeof value !== 'object' || value === null) return [[before || 'value', value]]
  return Object.entries(value).flatMap(([name, of]) => flattened(of, before ? before + ' ' + name : name))
}

const flatWords = value => flattened(value).map(([name, of]) => worded(name) + ' ' + (typeof of === 'number' ? count(of) : of)).join(', ')
`

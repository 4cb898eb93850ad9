/** Handshakes in a second by cause, stacked over time, with their numbers beside the colours. */
export const chart: string = /* js */ `
const colours = {
  'resumed:ticket': 1, 'resumed:local': 2, 'resumed:peer': 3, 'full:none-offered': 4,
  'full:unknown': 5, 'full:expired': 8, 'full:revoked': 6, 'full:policy': 7, 'full:timeout': 9,
  'full:lineage-expired': 10, 'full:corrupt': 11, failed: 12,
}
const colourOf = name => 'var(--c' + (colours[name] || 12) + ')'
const order = name => name.startsWith('resumed:') ? 0 : name.startsWith('full:') ? 1 : 2

function causeWords(name) {
  const [outcome, detail] = name.split(':')
  const more = {
    ticket: 'by a sealed ticket', local: 'from the own table', peer: 'from another member',
    'none-offered': 'nothing offered', unknown: 'session not known',
  }
  return detail ? outcome + ', ' + (more[detail] || worded(detail)) : outcome
}

function drawChart(scope) {
  const width = Math.max(280, byId('chart').clientWidth)
  const height = 220
  const [left, right, top, bottom] = [44, 8, 10, 22]
  const points = []
  // Members tell their figures every five seconds: shorter steps would be gaps and peaks.
  let before = samples[0]
  for (const now of samples) {
    const seconds = (now.t - before.t) / 1000
    if (seconds < 0.95 * step / 1000) continue
    const causes = causesBetween(before[scope].causes, now[scope].causes)
    const rates = {}
    for (const [name, value] of Object.entries(causes)) rates[name] = value / seconds
    points.push({ t: now.t, rates })
    before = now
  }
  const last = samples[samples.length - 1]
  const causes = last ? last[scope].causes : {}
  const names = [...new Set(points.flatMap(({ rates }) => Object.keys(rates)).concat(Object.keys(causes)))]
    .filter(name => !name.startsWith('not-tls:'))
    .sort((a, b) => order(a) - order(b) || (a < b ? -1 : 1))
  const sums = points.map(({ rates }) => names.reduce((sum, name) => sum + (rates[name] || 0), 0))
  const most = nice(Math.max(1, ...sums))
  const end = last ? last.t : Date.now()
  const begin = Math.min(end - 60000, points.length > 0 ? points[0].t : end)
  const x = t => left + (width - left - right) * (t - begin) / (end - begin)
  const y = value => top + (height - top - bottom) * (1 - value / most)
  const drawn = draw('svg', { viewBox: '0 0 ' + width + ' ' + height, role: 'img', 'aria-label': chartWords(scope) })
  for (const part of [0, 0.5, 1]) {
    drawn.append(
      draw('line', { class: 'grid', x1: left, x2: width - right, y1: y(part * most), y2: y(part * most) }),
      draw('text', { x: left - 6, y: y(part * most) + 4, 'text-anchor': 'end' }, digits(part * most)),
    )
  }
  const base = points.map(() => 0)
  for (const name of names) {
    const upper = points.map(({ rates }, i) => base[i] + (rates[name] || 0))
    const there = points.map(({ t }, i) => x(t).toFixed(1) + ',' + y(upper[i]).toFixed(1))
    const back = points.map(({ t }, i) => x(t).toFixed(1) + ',' + y(base[i]).toFixed(1)).reverse()
    const area = draw('polygon', { points: there.concat(back).join(' '), fill: colourOf(name) })
    area.append(draw('title', {}, causeWords(name)))
    drawn.append(area)
    upper.forEach((value, i) => { base[i] = value })
  }
  drawn.append(
    draw('text', { x: left, y: height - 6 }, duration((end - begin) / 1000) + ' ago'),
    draw('text', { x: width - right, y: height - 6, 'text-anchor': 'end' }, 'now'),
  )
  byId('chart').replaceChildren(drawn)
  const rates = ratesOf(scope, 10000)
  const items = names.filter(name => causes[name] > 0).map(name => {
    const rate = rates ? ' (' + perSecond((rates.causes[name] || 0) / rates.seconds) + ')' : ''
    const swatch = draw('svg', { viewBox: '0 0 1 1', 'aria-hidden': 'true' }, draw('rect', { width: 1, height: 1, fill: colourOf(name) }))
    return make('li', { 'data-cause': name }, swatch, make('span', {}, causeWords(name) + ': ' + count(causes[name]) + rate))
  })
  byId('legend').replaceChildren(...items)
  setText(byId('chart-note'), 'Handshakes a second; beside the names how many since start, and a second in the last 10.')
}

function chartWords(scope) {
  const rates = ratesOf(scope, 60000)
  if (!rates) return 'No figures yet'
  const { resumed, full } = totals(rates.causes)
  return 'In the last ' + duration(rates.seconds) + ': ' + count(resumed) + ' handshakes resumed, ' + count(full) + ' full'
}

// The next of 1, 2, 5, 10, ... above it.
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map(step => step * power).find(step => step >= value)
}
`

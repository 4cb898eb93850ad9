/**
 * What the page remembers: counts with the time at which they were told, some minutes of them.
 * Rates are differences of two; a count that falls has begun anew.
 */
export const history: string = /* js */ `
const span = 15 * 60000
const step = 5000
let samples = []

function sampleOf(status) {
  const wide = status.farmWide
  const host = { causes: status.handshakes.causes, requests: status.requests ? status.requests.total : 0 }
  const farm = wide ? { causes: wide.sum.causes, requests: wide.sum.requests } : host
  return { t: Date.now(), host, farm }
}

function remember(sample) {
  samples.push(sample)
  samples = samples.filter(({ t }) => t > sample.t - span)
  // One in five seconds is enough of what is older than the last minute.
  const recent = sample.t - 60000
  samples = samples.filter((each, index) => each.t > recent || index === 0 ||
    Math.floor(each.t / step) !== Math.floor(samples[index - 1].t / step))
}

// Those that the server has kept, of a time before this page.
function recall(old) {
  const first = samples.length > 0 ? samples[0].t : Infinity
  samples = old.filter(({ t }) => t < first).concat(samples)
}

const grown = (before, now) => now >= before ? now - before : now

function causesBetween(before, now) {
  const grownBy = {}
  for (const name of Object.keys(now)) grownBy[name] = grown(before[name] || 0, now[name])
  return grownBy
}

// Of the last so many ms; undefined before there are two samples.
function ratesOf(scope, ms) {
  const now = samples[samples.length - 1]
  if (!now) return undefined
  const before = samples.find(({ t }) => t >= now.t - ms)
  const seconds = (now.t - before.t) / 1000
  if (!(seconds > 0)) return undefined
  const causes = causesBetween(before[scope].causes, now[scope].causes)
  return { seconds, causes, requests: grown(before[scope].requests, now[scope].requests) }
}

function totals(causes) {
  let resumed = 0
  let full = 0
  for (const [name, value] of Object.entries(causes)) {
    if (name.startsWith('resumed:')) resumed += value
    if (name.startsWith('full:')) full += value
  }
  return { resumed, full, all: resumed + full }
}
`

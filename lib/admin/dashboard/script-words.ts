/** Numbers as people read them. */
export const words: string = /* js */ `
const count = value => Number.isInteger(value) ? value.toLocaleString('en') : digits(value)

// Three digits that count.
function digits(value) {
  if (!Number.isFinite(value)) return String(value)
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en')
  return String(Number(value.toPrecision(3)))
}

const perSecond = value => digits(value) + ' /s'
const percent = part => Number.isFinite(part) ? (100 * part).toFixed(part > 0.995 && part < 1 ? 2 : 1) + ' %' : 'none yet'

function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1 }
  return digits(value) + ' ' + units[unit]
}

function duration(seconds) {
  if (seconds < 0.001) return digits(seconds * 1e6) + ' µs'
  if (seconds < 1) return digits(seconds * 1e3) + ' ms'
  if (seconds < 10) return digits(seconds) + ' s'
  const parts = []
  for (const [name, length] of [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]]) {
    const whole = Math.floor(seconds / length)
    if (whole > 0) parts.push(whole + ' ' + name)
    seconds -= whole * length
  }
  return parts.slice(0, 2).join(' ')
}

const dateTime = ms => Number.isFinite(ms) ? new Date(ms).toLocaleString() : 'unknown'
const num = text => ({ text, n: true })
// camelCase and kebab-case as words.
const worded = name => name.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/-/g, ' ').toLowerCase()
`

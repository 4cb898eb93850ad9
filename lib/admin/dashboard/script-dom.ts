/**
 * The hands of the page. Whatever comes from the server goes into the page as text: names of
 * members, users and backends are other people's words. (The page's policy forbids all else.)
 */
export const dom: string = /* js */ `
const byId = id => document.getElementById(id)

function make(tag, attributes, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value)
  element.append(...children)
  return element
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value)
  element.append(...children)
  return element
}

// What does not change is left alone, so that it can be selected and read in peace.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

function setClass(element, name) {
  if (element.className !== name) element.className = name
}

// What is looked at first comes first; what the page does not know is in the middle.
const places = ['members', 'requests', 'backends', 'certificates', 'queues', 'tiers', 'table', 'revocations',
  '', 'auth', 'limits', 'handshakes', 'process', 'log', 'transport']
const placeOf = name => places.includes(name) ? places.indexOf(name) : places.indexOf('')

// A panel for a section of the status, made when there is one.
function panel(name, title) {
  const id = 'p-' + name
  const known = byId(id)
  if (known) return known
  const body = make('div', { id })
  const heading = make('h2', { id: 'h-' + name }, title)
  const section = make('section', { class: 'panel', 'aria-labelledby': 'h-' + name }, heading, body)
  section.dataset.section = name
  const after = [...byId('panels').children].find(other => placeOf(other.dataset.section) > placeOf(name))
  byId('panels').insertBefore(section, after || null)
  return body
}

// A cell is a text, a number (as count), or { text, kind, n }: kind good, warn or bad.
function table(parent, name, caption, columns, rows) {
  const id = parent.id + '-' + name
  let element = byId(id)
  if (!element) {
    const head = make('tr', {}, ...columns.map(column => make('th', { scope: 'col' }, column)))
    element = make('table', { id }, make('caption', {}, caption), make('thead', {}, head), make('tbody'))
    parent.append(make('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, element))
  }
  const heads = element.tHead.rows[0]
  const body = element.tBodies[0]
  while (body.rows.length > rows.length) body.deleteRow(-1)
  rows.forEach((cells, index) => {
    const row = body.rows[index] || body.appendChild(make('tr'))
    cells.forEach((cell, at) => {
      const known = row.cells[at]
      const place = known || row.appendChild(make(at === 0 ? 'th' : 'td', at === 0 ? { scope: 'row' } : {}))
      const told = typeof cell === 'object' && cell !== null ? cell : { text: cell, n: typeof cell === 'number' }
      setText(place, typeof told.text === 'number' ? count(told.text) : String(told.text === undefined ? '' : told.text))
      setClass(place, [told.n ? 'n' : '', told.kind || ''].join(' ').trim())
      if (told.n && index === 0) setClass(heads.cells[at], 'n')
    })
    while (row.cells.length > cells.length) row.deleteCell(-1)
  })
  return element
}

function note(parent, name, text) {
  const id = parent.id + '-' + name
  const element = byId(id) || parent.appendChild(make('p', { id, class: 'note' }))
  setText(element, text)
}

function tile(name, title, value, more) {
  const id = 't-' + name
  if (!byId(id)) {
    const dd = make('dd', {}, make('div', { class: 'value', id }), make('div', { class: 'more', id: id + '-more' }))
    byId('tiles').append(make('div', { class: 'tile' }, make('dt', {}, title), dd))
  }
  setText(byId(id), value)
  setText(byId(id + '-more'), more || '')
}
`

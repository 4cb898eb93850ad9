/** The page lives on what the server sends, and says when it does not. */
export const live: string = /* js */ `
let latest
let paused = false
let heardAt = performance.now()

function show() {
  if (!latest || paused) return
  const scope = byId('scope').value
  const title = 'handfast: farm ' + latest.farm
  setText(byId('title'), title)
  document.title = title + ' (' + location.host + ')'
  byId('scope').parentElement.hidden = !latest.farmWide || latest.farmWide.members.length < 2
  drawTiles(latest, scope)
  drawMembers(latest)
  drawSections(latest)
  drawChart(scope)
  document.body.dataset.drawn = String(Number(document.body.dataset.drawn || 0) + 1)
}

function state(text, kind) {
  setText(byId('state'), text)
  setClass(byId('state'), kind + ' dot')
}

let source
function connect() {
  source = new EventSource('/events')
  source.addEventListener('history', event => { recall(JSON.parse(event.data)) })
  source.addEventListener('status', event => {
    heardAt = performance.now()
    latest = JSON.parse(event.data)
    remember(sampleOf(latest))
    state(paused ? 'paused' : 'live', paused ? 'warn' : 'good')
    show()
  })
  source.addEventListener('error', () => {
    state('no connection, trying again', 'bad')
    // A server that is full answers at once, and then the browser tries no more.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 5000)
  })
}
connect()

setInterval(() => {
  if (performance.now() - heardAt > 10000) state('nothing heard for ' + duration((performance.now() - heardAt) / 1000), 'bad')
}, 1000)

byId('scope').addEventListener('change', show)
byId('pause').addEventListener('click', () => {
  paused = !paused
  byId('pause').setAttribute('aria-pressed', String(paused))
  setText(byId('pause'), paused ? 'Go on' : 'Pause')
  state(paused ? 'paused' : 'live', paused ? 'warn' : 'good')
  show()
})
addEventListener('resize', () => { if (latest) drawChart(byId('scope').value) })
`

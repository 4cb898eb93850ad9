/** The look of the page, in light and dark and from 320 pixels on. */
export const style: string = /* css */ `
:root {
  color-scheme: light dark;
  --back: #f6f7f9; --panel: #ffffff; --line: #d5d9e0; --text: #16191f; --soft: #555d6b;
  --accent: #0b57d0; --good: #0a6b3d; --warn: #8a5a00; --bad: #b3261e;
  --c1: #0b6e4f; --c2: #2b8fd9; --c3: #7ab8e6; --c4: #e0a100; --c5: #d9622b; --c6: #b3261e;
  --c7: #7b4bb3; --c8: #8a8f99; --c9: #c2789e; --c10: #5f7a2a; --c11: #a0522d; --c12: #444b57;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #101318; --panel: #181c23; --line: #343b47; --text: #e8eaee; --soft: #a6aebb;
    --accent: #8ab4f8; --good: #6fcf97; --warn: #f2c265; --bad: #ff8a80;
    --c1: #3fb68b; --c2: #4ba3ea; --c3: #a3d0f5; --c4: #f2c14e; --c5: #f08a5d; --c6: #ff7a70;
    --c7: #b794f4; --c8: #9aa3b0; --c9: #e3a5c4; --c10: #a4c26b; --c11: #d49a76; --c12: #cfd4dc;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
a { color: var(--accent); }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--panel); padding: .5rem; z-index: 1; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
header {
  display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; align-items: center;
  padding: .75rem 1rem; background: var(--panel); border-bottom: 1px solid var(--line);
}
h1 { font-size: 1.15rem; margin: 0 auto 0 0; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
main { padding: 1rem; max-width: 100rem; margin: 0 auto; }
.tiles { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); margin: 0 0 .75rem; padding: 0; }
.panels { columns: 27rem; column-gap: .75rem; }
.tile, .panel {
  background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: .75rem; min-width: 0;
}
.panel { margin: 0 0 .75rem; }
.panels .panel { break-inside: avoid; }
.panels [data-section=members] { column-span: all; }
.tile dt { color: var(--soft); font-size: .85rem; }
.tile dd { margin: 0; }
.tile .value { font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.tile .more { color: var(--soft); font-size: .85rem; min-height: 1.2em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .85rem; padding-bottom: .25rem; }
th, td { text-align: left; padding: .2rem .6rem .2rem 0; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-weight: 600; font-size: .85rem; }
tbody th { font-weight: 500; }
tbody th, td { overflow-wrap: break-word; max-width: 22rem; }
[data-section=members] td:nth-child(3) { min-width: 9rem; }
.n { text-align: right; white-space: nowrap; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.good, .warn, .bad { font-weight: 600; }
.note { color: var(--soft); font-size: .85rem; margin: .4rem 0 0; }
svg { display: block; width: 100%; height: 220px; }
svg text { fill: var(--soft); font-size: 12px; }
svg .grid { stroke: var(--line); stroke-width: 1; }
summary { cursor: pointer; color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; margin: .5rem 0 0; padding: 0; }
.legend li { display: flex; align-items: center; gap: .4rem; }
.legend svg { width: 12px; height: 12px; flex: none; }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; margin: 0 0 .75rem; }
label { display: grid; gap: .15rem; font-size: .85rem; color: var(--soft); }
label.check { display: flex; align-items: center; min-height: 2.2rem; gap: .4rem; }
input, select, button {
  font: inherit; color: var(--text); background: var(--back);
  border: 1px solid var(--soft); border-radius: 6px; padding: .3rem .5rem; max-width: 100%;
}
button { cursor: pointer; }
button.danger { border-color: var(--bad); color: var(--bad); }
dialog { background: var(--panel); color: var(--text); border: 1px solid var(--line); border-radius: 8px; max-width: 30rem; }
dialog::backdrop { background: rgb(0 0 0 / .5); }
dialog p { overflow-wrap: anywhere; }
.dot::before { content: "● "; }
@media (max-width: 30rem) {
  main { padding: .5rem; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .tile .value { font-size: 1.2rem; }
  .n { white-space: normal; }
}
`

/** How plots look, in light and in dark. */
export const plotStyle: string = `
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5b6676; --rule: #dfe4ea; --paper: #fff;
  --c0: #8a96a8; --c1: #4f9dd6; --c2: #1f6f4a; --c3: #c9822b; --c4: #7a5ab5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --dim: #98a3b3; --rule: #2f3845;
  --paper: #141920; --c0: #7d899b; --c1: #5aa9e6; --c2: #4fb286; --c3: #e0a04a; --c4: #a58be0; } }
text { fill: var(--ink); font-size: 12px; } .tick, .bar-label { fill: var(--dim); }
.group { font-weight: 600; } .grid { stroke: var(--rule); stroke-width: 1; }
.whisker { stroke: var(--ink); stroke-opacity: .65; stroke-width: 1.2; fill: none; }
.line { fill: none; stroke-width: 2; }
${[0, 1, 2, 3, 4].map(n => `.fill${n} { fill: var(--c${n}); } .stroke${n} { stroke: var(--c${n}); }`).join('\n')}
`

/** The drawing of a figure as a file that stands by itself. */
export function svgFile(figure: string): string {
  const drawing = figure.slice(figure.indexOf('<svg ') + 5, figure.lastIndexOf('</svg>'))
  const [attributes = ''] = drawing.split('>', 1)
  const style = `${plotStyle}text { font-family: system-ui, sans-serif; }\nsvg { background: var(--paper); }\n`
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" ${attributes}>\n<style>${style}</style>` +
    `${drawing.slice(attributes.length + 1)}</svg>\n`
  )
}

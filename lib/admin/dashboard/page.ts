import { createHash } from 'node:crypto'
import { markup } from './markup.ts'
import { chart } from './script-chart.ts'
import { dom } from './script-dom.ts'
import { history } from './script-history.ts'
import { live } from './script-live.ts'
import { panels } from './script-panels.ts'
import { revoke } from './script-revoke.ts'
import { words } from './script-words.ts'
import { style } from './style.ts'

const script = [
  "'use strict'\n;(() => {",
  dom,
  words,
  history,
  chart,
  panels,
  revoke,
  live,
  '})()',
].join('\n')

/** One file: nothing is loaded from anywhere. */
export const page: Buffer = Buffer.from(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>handfast</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
${markup}
<script>${script}</script>
</body>
</html>
`)

/**
 * The page may run its own script and ask its own server, and nothing else: no other script or
 * style, no frame around it, no form that goes anywhere, no text that becomes markup.
 */
export const pageFields: { readonly [name: string]: string } = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': [
    "default-src 'none'",
    `script-src '${digest(script)}'`,
    `style-src '${digest(style)}'`,
    'img-src data:',
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
}

function digest(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}

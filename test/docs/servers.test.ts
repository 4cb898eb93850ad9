import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import t from 'tap'
import { blocks } from '../fixtures/docs/blocks.ts'
import { Sandbox } from '../fixtures/docs/sandbox.ts'

const streamModule = '/usr/lib/nginx/modules/ngx_stream_module.so'

/** How each server tests a config, and what a part of one needs to be whole. */
const servers = {
  nginx: {
    test: (file: string, folder: string) => {
      const own = `pid ${folder}/nginx.pid; error_log stderr;`
      return ['nginx', '-t', '-p', folder, '-c', file, '-g', own]
    },
    whole: (text: string) => {
      const load = text.includes('stream {') ? `load_module ${streamModule};\n` : ''
      const isWhole = /^(?:http|stream|events) \{/m.test(text)
      return `${load}events {}\n${isWhole ? text : `http {\n${text}}\n`}`
    },
    lacks: (text: string) =>
      text.includes('stream {') && !existsSync(streamModule) && 'its stream module',
  },
  haproxy: {
    test: (file: string) => ['haproxy', '-c', '-f', file],
    whole: (text: string) => {
      const defaults =
        'defaults\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n'
      return `${defaults}${/^server /m.test(text) ? `listen one\n  bind 127.0.0.1:8443\n  ${text}` : text}`
    },
    lacks: () => false as const,
  },
}

for (const { title, language, text } of blocks) {
  if (language !== 'nginx' && language !== 'haproxy') continue
  const { test, whole, lacks } = servers[language]
  const missing = spawnSync(language, ['-v']).error !== undefined ? language : lacks(text)
  const skip = missing && `no ${missing}`
  t.test(`${title} is a config that ${language} takes`, { skip }, async t => {
    const sandbox = await Sandbox.make(t)
    const local = sandbox.localized(whole(text))
    for (const [path] of local.matchAll(/\/[\w./-]+\.(?:crt|key|pem)\b/g)) {
      // 48 random bytes are what nginx wants of ticket keys.
      if (path.endsWith('ticket.key')) sandbox.write(path, 'x'.repeat(48))
      else sandbox.provide(path)
    }
    const file = sandbox.write(`${language}.conf`, local)
    const [program = '', ...args] = test(file, sandbox.folder)
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
    t.equal(status, 0, stderr)
  })
}

/** Commands to paste while the demo is up. They work from the directory it was started in. */
export function renderTryIt(ports: readonly number[], certFile: string): string {
  const [first, second] = ports
  const sClient = (port: number | undefined, session: string) =>
    `  printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -connect 127.0.0.1:${port} \\\n` +
    `    -servername localhost -ign_eof ${session} 2>/dev/null | grep -E '^(New|Reused)'`
  return `Try it: a session from one proxy, offered on the next one.

${sClient(first, '-sess_out /tmp/handfast.pem')}
${sClient(second, '-sess_in /tmp/handfast.pem')}

  curl --cacert ${certFile} https://localhost:${first}/
`
}

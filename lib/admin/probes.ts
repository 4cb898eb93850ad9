import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * Answers GET /healthz (this process lives) and GET /readyz (it wants clients; else 503 with the
 * reason in words), as Kubernetes, balancers and service managers ask. They tell nothing that is
 * for the operator alone, so they are for whoever reaches the port, under any name. False for any
 * other request.
 */
export function answerProbe(
  request: IncomingMessage,
  response: ServerResponse,
  notReady: () => string | undefined,
): boolean {
  const { method, url } = request
  if (method !== 'GET' && method !== 'HEAD') return false
  if (url !== '/healthz' && url !== '/readyz') return false
  const reason = url === '/readyz' ? notReady() : undefined
  const body = `${reason ?? 'ok'}\n`
  response.writeHead(reason === undefined ? 200 : 503, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  })
  response.end(method === 'HEAD' ? undefined : body)
  return true
}

/**
 * What happens to a request, in this order. The access log names the phase in which a request
 * that the proxy answered itself came to its end.
 *
 * - `receive`: the header section is read from the connection.
 * - `check`: framing, target and Host are judged; smuggling ends here (400, 417, 501, 505).
 * - `route`: the site of the host is found (421), and its demand for a client certificate is
 *   held against what the handshake proved (403).
 * - `select`: a backend is chosen and connected to (502, 503, 504).
 * - `forward`: the request is on its way to the backend (408, 413, 502, 504).
 * - `respond`: the response is on its way to the client.
 *
 * Whoever is to ask who the user is belongs between `route` and `select`: by then the site is
 * known and nothing has been sent.
 */
export const phases = [
  'receive',
  'check',
  'route',
  'select',
  'forward',
  'respond',
] as const

export type Phase = (typeof phases)[number]

/**
 * What happens to a request, in this order. The access log names the phase in which a request
 * that the proxy answered itself came to its end.
 *
 * - `receive`: the header section is read from the connection.
 * - `check`: framing, target and Host are judged; smuggling ends here (400, 417, 501, 505).
 * - `route`: the site of the host is found (421), and its demand for a client certificate is
 *   held against what the handshake proved (403).
 * - `authorize`: the site knows who the user is, or answers (303, 401, 403, 429, a log-in form).
 * - `select`: a backend is chosen and connected to (502, 503, 504).
 * - `forward`: the request is on its way to the backend (408, 413, 502, 504).
 * - `respond`: the response is on its way to the client.
 */
export const phases = [
  'receive',
  'check',
  'route',
  'authorize',
  'select',
  'forward',
  'respond',
] as const

export type Phase = (typeof phases)[number]

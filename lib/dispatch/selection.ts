import type { DispatchRequest } from './dispatch.ts'

/**
 * Chooses among the backends of one dispatcher, and knows nothing of health: whoever asks passes
 * over what is not ready (`Candidates`), and asks on when a backend could not take the request.
 * So all that choosing may go by (turns, weights, loads, latencies, a hash of the request, where
 * the client was before) has its place behind this one method.
 */
export interface Selection<Backend> {
  /**
   * The backends that a request may go to, first choice first and each once. Called once per
   * request; usually no more than the first is taken from it, so it should be cheap to begin
   * and may choose as it goes. Must not throw.
   */
  candidates(request: DispatchRequest): Iterator<Backend, undefined>
}

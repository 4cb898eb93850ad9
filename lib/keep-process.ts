/** Longest that Node takes, ms. */
const forLong = 2 ** 31 - 1

/**
 * Answers what `awaited` does, and keeps the process up until then. Timers of a farm do not: where
 * what it waits for is away, a server that is about to start would end, with code 13 and no word.
 */
export async function keepProcess<Value>(awaited: Promise<Value>): Promise<Value> {
  const timer = setInterval(() => {}, forLong)
  try {
    return await awaited
  } finally {
    clearInterval(timer)
  }
}

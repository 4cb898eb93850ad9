/** Tells all of them, whatever some throw; throws the first of that when all have been told. */
export function tellAll<Told>(
  listeners: Iterable<(told: Told) => void>,
  told: Told,
): void {
  let failed: { readonly error: unknown } | undefined
  for (const listener of listeners) {
    try {
      listener(told)
    } catch (error) {
      failed ??= { error }
    }
  }
  if (failed !== undefined) throw failed.error
}

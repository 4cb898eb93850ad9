import { gauge } from '../../admin/section/family.ts'
import type { Section } from '../../admin/section/section.ts'

export interface CertificateFigures {
  /** Names of the site; of the default site none. */
  readonly names: readonly string[]
  /** Wall time in ms. */
  readonly notAfter: number
}

export function certificatesSection(
  read: () => readonly CertificateFigures[],
): Section<readonly CertificateFigures[]> {
  return {
    name: 'certificates',
    read,
    // All processes have the same.
    merge: (_all, own) => own,
    families: certificates => [
      gauge(
        'handfast_certificate_expiry_timestamp_seconds',
        'When the certificate of a site runs out, as seconds since 1970',
        certificates.map(({ names: [site = 'default'], notAfter }) => ({
          labels: { site },
          value: notAfter / 1_000,
        })),
      ),
    ],
  }
}

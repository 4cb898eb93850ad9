import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { row } from './table.ts'

/** Of the checkout, also from dist. */
const root = new URL(
  import.meta.url.endsWith('.js') ? '../../../' : '../../',
  import.meta.url,
)

/** Where options of the API are declared, by the heading that they stand under. */
export const owners: readonly (readonly [heading: string, file: string, type: string])[] =
  [
    ['createFarm', 'lib/member/options.ts', 'FarmOptions'],
    ['attach', 'lib/member/farm.ts', 'AttachOptions'],
    ['admin', 'lib/member/farm.ts', 'FarmAdminOptions'],
    ['auth', 'lib/auth/options.ts', 'AuthOptions'],
    ['auth: basic', 'lib/auth/options.ts', 'PasswordSource'],
    ['auth: bearer', 'lib/auth/method/bearer.ts', 'BearerOptions'],
    ['auth: certificate', 'lib/auth/method/certificate.ts', 'CertificateOptions'],
    ['auth: forward', 'lib/auth/method/forward-auth.ts', 'ForwardAuthOptions'],
    ['auth: form', 'lib/auth/options.ts', 'FormOptions'],
    ['auth: attempts', 'lib/auth/login/attempts.ts', 'AttemptLimits'],
    ['revoke', 'lib/resumption/revocation/revocation.ts', 'RevokeOptions'],
    [
      'acceptProxyProtocol',
      'lib/proxy-protocol/accept-proxy-protocol.ts',
      'ProxyProtocolOptions',
    ],
  ]

export interface CodeOption {
  readonly name: string
  readonly type: string
  readonly needed: boolean
  readonly about: string
}

/** The options of the API as Markdown, a table for each owner, read from their declarations. */
export function codeTables(): string {
  return codeOptions()
    .map(([heading, options]) =>
      [
        `### ${heading}`,
        '',
        row('option', 'type', 'what it is'),
        '|---|---|---|',
        ...options.map(({ name, type, needed, about }) =>
          row(`\`${name}\``, `\`${type}\`${needed ? ', needed' : ''}`, about),
        ),
        '',
      ].join('\n'),
    )
    .join('\n')
}

export function codeOptions(): (readonly [heading: string, options: CodeOption[]])[] {
  const files = [...new Set(owners.map(([, file]) => fileURLToPath(new URL(file, root))))]
  const program = ts.createProgram(files, {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    types: ['node'],
    allowImportingTsExtensions: true,
  })
  const checker = program.getTypeChecker()
  return owners.map(([heading, file, name]) => {
    const path = fileURLToPath(new URL(file, root))
    const source = program.getSourceFile(path)
    const declaration = source?.statements.find(
      (statement): statement is ts.InterfaceDeclaration | ts.TypeAliasDeclaration =>
        (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement)) &&
        statement.name.text === name,
    )
    if (declaration === undefined) throw new Error(`${file} has no ${name}`)
    const type = checker.getTypeAtLocation(declaration)
    return [heading, propertiesOf(type).map(symbol => optionOf(symbol, checker))]
  })
}

/** Of each member of a union, where there is one. */
function propertiesOf(type: ts.Type): ts.Symbol[] {
  const found = new Map<string, ts.Symbol>()
  for (const part of type.isUnion() ? type.types : [type]) {
    for (const symbol of part.getProperties()) {
      const isAbsentHere = symbol.getDeclarations()?.some(isAbsent) ?? false
      if (!isAbsentHere) found.set(symbol.name, symbol)
    }
  }
  return [...found.values()]
}

/** `name?: undefined`, which says that another takes its place. */
function isAbsent(declaration: ts.Declaration): boolean {
  return (
    ts.isPropertySignature(declaration) &&
    declaration.type?.kind === ts.SyntaxKind.UndefinedKeyword
  )
}

function optionOf(symbol: ts.Symbol, checker: ts.TypeChecker): CodeOption {
  const [declaration] = symbol.getDeclarations() ?? []
  const written =
    declaration !== undefined && ts.isPropertySignature(declaration)
      ? (declaration.type?.getText() ?? '')
      : ''
  return {
    name: symbol.name,
    type: written
      .replace(/\s+/g, ' ')
      .replace(/\(typeof farmWords\.(\w+)\)\[number\]/, () => {
        const type = checker.getTypeOfSymbol(symbol)
        return checker.typeToString(checker.getNonNullableType(type))
      })
      .replace(/ \| undefined$/, '')
      .replace(/^\| /, ''),
    needed: (symbol.flags & ts.SymbolFlags.Optional) === 0,
    about: ts.displayPartsToString(symbol.getDocumentationComment(checker)),
  }
}

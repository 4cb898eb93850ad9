import type { Flag, FlagTable } from './flags.ts'

/** What a shell is told of a command. */
export interface Completed {
  readonly name: string
  readonly summary: string
  readonly flags: FlagTable
  /** Words that its first argument may be. */
  readonly words: readonly string[]
}

/** How the value of a flag is completed; undefined for a switch. */
function valueOfFlag({
  value,
  words,
}: Flag): 'file' | 'folder' | 'words' | 'any' | undefined {
  if (value === undefined) return undefined
  if (words !== undefined) return 'words'
  return value === 'FILE' ? 'file' : value === 'DIR' ? 'folder' : 'any'
}

export function bash(commands: readonly Completed[]): string {
  const cases = commands.map(({ name, flags, words }) => {
    const values = Object.entries(flags).flatMap(([flag, one]) => {
      const reply = {
        file: '_handfast_files -f',
        folder: '_handfast_files -d',
        words: `_handfast_words '${one.words?.join(' ')}'`,
        any: ':',
      }
      const kind = valueOfFlag(one)
      return kind === undefined ? [] : `        --${flag}) ${reply[kind]}; return ;;\n`
    })
    const all = [...words, ...Object.keys(flags).map(flag => `--${flag}`), '--help']
    return `    ${name})
      case $previous in
${values.join('')}      esac
      _handfast_words '${all.join(' ')}' ;;
`
  })
  return `# handfast completion bash
_handfast_words() { COMPREPLY=($(compgen -W "$1" -- "$current")); }
_handfast_files() { compopt -o filenames; COMPREPLY=($(compgen "$1" -- "$current")); }
_handfast() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  if [[ $COMP_CWORD -eq 1 ]]; then
    _handfast_words '${commands.map(({ name }) => name).join(' ')} --help --version'
    return
  fi
  case \${COMP_WORDS[1]} in
${cases.join('')}  esac
}
complete -F _handfast handfast
`
}

export function zsh(commands: readonly Completed[]): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
  const plain = (text: string) => text.replaceAll(/[[\]:\\]/g, '\\$&')
  const cases = commands.map(({ name, flags, words }) => {
    const specs = Object.entries(flags).map(([flag, one]) => {
      const action = {
        file: '_files',
        folder: '_files -/',
        words: `(${one.words?.join(' ')})`,
        any: '',
      }
      const kind = valueOfFlag(one)
      const value =
        kind === undefined
          ? ''
          : `:${plain(one.value ?? '').toLowerCase()}:${action[kind]}`
      const several = one.several === true ? '*' : ''
      return quoted(`${several}--${flag}[${plain(one.about)}]${value}`)
    })
    const first = words.length === 0 ? [] : [quoted(`1:what:(${words.join(' ')})`)]
    const all = [...first, ...specs, quoted('--help[what it does, and its options]')]
    return `    ${name}) _arguments ${all.join(' ')} ;;\n`
  })
  return `#compdef handfast
_handfast() {
  local -a commands=(${commands.map(({ name, summary }) => quoted(`${name}:${plain(summary)}`)).join(' ')})
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT -= 1 ))
  case $command in
${cases.join('')}  esac
}
compdef _handfast handfast
`
}

export function fish(commands: readonly Completed[]): string {
  const quoted = (text: string) => `'${text.replaceAll(/['\\]/g, '\\$&')}'`
  const lines = commands.flatMap(({ name, summary, flags, words }) => {
    const inside = `complete -c handfast -n '__fish_seen_subcommand_from ${name}'`
    return [
      `complete -c handfast -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
      ...(words.length === 0 ? [] : [`${inside} -a ${quoted(words.join(' '))}`]),
      ...Object.entries(flags).map(([flag, one]) => {
        const values = {
          file: ' -r -F',
          folder: " -x -a '(__fish_complete_directories)'",
          words: ` -x -a ${quoted(one.words?.join(' ') ?? '')}`,
          any: ' -x',
        }
        const kind = valueOfFlag(one)
        const value = kind === undefined ? '' : values[kind]
        return `${inside} -l ${flag}${value} -d ${quoted(one.about)}`
      }),
    ]
  })
  return `# handfast completion fish\ncomplete -c handfast -f\n${lines.join('\n')}\n`
}

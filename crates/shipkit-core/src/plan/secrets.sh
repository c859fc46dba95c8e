cd "$(dirname "$0")/.."

nl='
'

# Says a sentence where people look first: at the run on a runner, else in the log.
say() {
  if [ "${GITHUB_ACTIONS-}" = true ]; then
    printf '::%s title=%s::%s\n' "$1" "$part" "$(printf '%s' "$2" | sed 's/%/%25/g' | tr '\r\n' '  ')"
  else
    printf '%s: %s: %s\n' "$part" "$1" "$2"
  fi
}

# Ends with a sentence: 2 asked wrongly, 3 could not find out, else the code of the command that failed.
stop() {
  say error "$2"
  exit "$1"
}

# Hides a value in the log of the job. The runner masks the lines of a secret, but not what stands behind a `=`.
mask() {
  if [ "${GITHUB_ACTIONS-}" = true ] && [ "${#1}" -ge 4 ]; then
    printf '::add-mask::%s\n' "$(printf '%s' "$1" | sed "s/%/%25/g; s/$(printf '\r')/%0D/g")"
  fi
}

trim() {
  trimmed=${1#"${1%%[![:space:]]*}"}
  trimmed=${trimmed%"${trimmed##*[![:space:]]}"}
}

# `secrets VARIABLE KEY NAME...`: sets the secrets of these names, which KEY of shipkit.yml wants, from the dotenv text in VARIABLE or from
# variables that are set already. Nothing is written to a file, and the text itself is not left to the commands.
secrets() {
  local variable=$1 key=$2 rest=${!1-} at=0 line name trimmed
  shift 2
  local wanted=" $* "
  unset "$variable"
  while [ -n "$rest" ]; do
    trim "${rest%%"$nl"*}"
    line=$trimmed
    at=$((at + 1))
    case $rest in *"$nl"*) rest=${rest#*"$nl"} ;; *) rest= ;; esac
    case $line in '' | '#'*) continue ;; esac
    # The line itself is not shown: it may be a secret whose name was forgotten.
    case $line in *=*) ;; *) stop 2 "line $at of \`$variable\` is not \`NAME=value\`" ;; esac
    trim "${line%%=*}"
    name=${trimmed#export }
    trim "${line#*=}"
    case $trimmed in
      \"*\" | \'*\') [ "${#trimmed}" -lt 2 ] || { trimmed=${trimmed#?} && trimmed=${trimmed%?}; } ;;
    esac
    mask "$trimmed"
    case $wanted in *" $name "*) export "$name=$trimmed" ;; esac
  done
  for name in "$@"; do
    eval "line=\${$name-}"
    mask "$line"
    export "$name=$line"
    [ -n "$line" ] || say warning "the secret \`$name\` of \`$key\` is empty here: it is neither in \`$variable\` nor set, as in a pull request from a fork"
  done
}


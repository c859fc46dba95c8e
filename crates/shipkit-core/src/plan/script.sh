# Each command gets a process group of its own, so that all of it can be ended. Only bash does this without a terminal.
set -m
# One per checkout: two of them do not meet, and the next run finds what a killed one left.
project=shipkit-test-$(pwd -P | cksum | cut -d ' ' -f 1)
stacks=
settled=
groups=

# Runs a program and waits such that a signal is heard at once.
attend() {
  local code=0
  "$@" < /dev/null &
  groups="$! $groups"
  wait "$!" || code=$?
  # What it left in the background may serve the next commands, and is ended with the script.
  kill -0 -- "-$!" 2> /dev/null || groups=${groups#* }
  return "$code"
}

# One command of shipkit.yml, in a shell of its own, so that no `cd` or `exit` reaches the next.
run() {
  local code=0
  printf '+ %s\n' "$1"
  attend sh -ec "$1" || code=$?
  [ "$code" = 0 ] || stop "$code" "\`$1\` failed with exit code $code"
}

# --- tools ----------------------------------------------------------------------------------------------------------------------

# The version that a tool says it has; nothing if it is not there.
version_of() {
  local said
  case $1 in
    go) said=$(go version 2>&1) ;;
    java) said=$(java -version 2>&1) ;;
    python) said=$(python3 --version 2>&1) ;;
    rust) said=$(rustc --version 2>&1) ;;
    # `command`: a tool may be called like one of these functions.
    *) said=$(command "$1" --version 2>&1) ;;
  esac < /dev/null || return 0
  printf '%s\n' "$said" | sed -n 's/^[^0-9]*\([0-9][0-9.]*\).*/\1/p' | sed 1q
}

# Whether version `$2` begins with `$1`: 20.20.2 fits 20 and 20.20, but not 20.2. A word (`stable`) is what was installed.
fits() {
  case $1 in [0-9]*) ;; *) return 0 ;; esac
  case $2 in "$1" | "$1".*) return 0 ;; *) return 1 ;; esac
}

# Puts a tool of the wanted version on PATH: out of the tool cache of the runner, as it is there, or by its own ecosystem.
tool() {
  local name=$1 wanted=$2 program=$1 cache=$1 version have there=
  case $name in
    java) cache=Java_Temurin-Hotspot_jdk ;;
    python) cache=Python program=python3 ;;
    rust) program=rustc ;;
  esac
  cache=${RUNNER_TOOL_CACHE:-/opt/hostedtoolcache}/$cache
  for version in $(ls "$cache" 2> /dev/null | sort -rV); do
    there="$there, $version"
    if fits "$wanted" "$version" && use "$name" "$cache/$version"; then break; fi
  done
  have=$(version_of "$name")
  if [ -z "$have" ] || ! fits "$wanted" "$have"; then
    provide "$name" "$wanted"
    have=$(version_of "$name")
  fi
  if [ -z "$have" ] || ! fits "$wanted" "$have"; then
    there=${there#, }
    stop 2 "\`test.setup\` wants $name $wanted, but this machine has ${have:-none} on PATH and ${there:-none} in its tool cache; ask for what is there, or run on a machine that has it"
  fi
  printf '%s %s (%s)\n' "$name" "$have" "$(type -P "$program")"
}

# Puts a folder of the tool cache in front of PATH, if it holds something for this machine.
use() {
  local machine=x64
  case $(uname -m) in aarch64 | arm64) machine=arm64 ;; esac
  [ -d "$2/$machine/bin" ] || return 1
  export PATH="$2/$machine/bin:$PATH"
  if [ "$1" = java ]; then export JAVA_HOME=$2/$machine; fi
}

# What an ecosystem has for getting a version of its own tools. Nothing else is ever downloaded.
provide() {
  local package=$1 prefix
  case $1 in
    npm | pnpm | yarn)
      command -v npm > /dev/null || return 0
      # From version 2 on yarn is published under another name.
      case $1:$2 in yarn:1 | yarn:1.*) ;; yarn:*) package=@yarnpkg/cli-dist ;; esac
      prefix=${RUNNER_TEMP:-${XDG_CACHE_HOME:-$HOME/.cache}}/shipkit/$1-$2
      attend npm install --global --silent --prefix "$prefix" "$package@$2" || true
      export PATH="$prefix/bin:$PATH"
      hash -r
      ;;
    rust)
      command -v rustup > /dev/null || return 0
      attend rustup --quiet toolchain install --no-self-update --profile minimal "$2" || true
      export RUSTUP_TOOLCHAIN=$2
      ;;
  esac
}

# --- containers -----------------------------------------------------------------------------------------------------------------

# The label that Compose gives to all that it makes for a stack, as a filter.
of_stack() { printf 'label=com.docker.compose.project=%s' "$project-$1"; }

# Brings a stack up and waits until all of it is healthy or, where it has no health check, runs.
up() {
  local stack=$1
  shift
  docker compose version > /dev/null 2>&1 || stop 2 "\`test.$stack\` needs \`docker compose\`, which this machine does not have: install docker-compose-plugin (from Docker), docker-compose-v2 (Ubuntu) or docker-compose (Debian 13)"
  docker ps > /dev/null || stop 3 "\`test.$stack\` needs Docker, which does not answer"
  remove "$stack"
  stacks="$stack $stacks"
  printf 'starting test.%s\n' "$stack"
  attend docker compose --ansi never --progress quiet --project-name "$project-$stack" "$@" up --detach --build --quiet-pull ||
    stop 3 "\`test.$stack\` cannot be started"
  settle "$stack"
}

states() { docker ps --all --filter "$(of_stack "$1")" --format '{{.Label "com.docker.compose.service"}} {{.Status}}'; }

settle() {
  local stack=$1 end=$((SECONDS + 300)) name status waiting
  while :; do
    waiting=
    while read -r name status; do
      case $stack:$status in
        *'(unhealthy)'*) stop 3 "\`$name\` of \`test.$stack\` is unhealthy" ;;
        # There, a container that only prepares something ends well.
        'e2e:Exited (0)'*) ;;
        *:Exited* | *:Dead*) stop 3 "\`$name\` of \`test.$stack\` ended before the tests began: $status" ;;
        *'(health: starting)'* | *:Created* | *:Restarting*) waiting=$name ;;
      esac
    done << EOF
$(states "$stack")
EOF
    if [ -z "$waiting" ]; then
      settled="$settled $stack"
      return
    fi
    [ "$SECONDS" -lt "$end" ] || stop 3 "\`$waiting\` of \`test.$stack\` did not become healthy within 300 s"
    sleep 0.2
  done
}

# Shows what the containers of a stack said. It is foreign text: in between the runner takes nothing for a command.
logs() {
  local token= name status id
  case " $settled " in
    *" $1 "*)
      states "$1" | while read -r name status; do
        case $status in Exited* | Dead*) say error "\`$name\` of \`test.$1\` ended while the tests ran: $status" ;; esac
      done
      ;;
  esac
  if [ "${GITHUB_ACTIONS-}" = true ]; then
    token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '::stop-commands::%s\n' "$token"
  fi
  docker ps --all --filter "$(of_stack "$1")" --format '{{.ID}} {{.Label "com.docker.compose.service"}}' | while read -r id name; do
    printf 'the last lines of %s:\n' "$name"
    docker logs --tail 100 "$id" 2>&1 | tr '\r' '\n' | tr -d '\000-\010\013-\037' | sed 's/^/| /'
  done
  if [ -n "$token" ]; then printf '\n::%s::\n' "$token"; fi
}

# Takes away all that a stack left. By label and not by its files, which may have changed or gone.
remove() {
  local left
  left=$(docker ps --all --quiet --filter "$(of_stack "$1")")
  [ -z "$left" ] || docker rm --force --volumes $left > /dev/null
  left=$(docker network ls --quiet --filter "$(of_stack "$1")")
  [ -z "$left" ] || docker network rm $left > /dev/null
  left=$(docker volume ls --quiet --filter "$(of_stack "$1")")
  [ -z "$left" ] || docker volume rm --force $left > /dev/null
}

# However it ends: logs after a failure, then nothing stays, neither containers nor processes.
end() {
  local code=$? group stack
  trap '' INT TERM HUP
  trap - EXIT
  set +e
  for group in $groups; do kill -TERM -- "-$group" 2> /dev/null; done
  for stack in $stacks; do
    # Whoever cancels does not wait for logs: ten seconds later the runner kills.
    case $code in 0 | 129 | 130 | 143) ;; *) logs "$stack" ;; esac
    remove "$stack" || say warning "not all of \`test.$stack\` could be removed"
  done
  for group in $groups; do kill -KILL -- "-$group" 2> /dev/null; done
  exit "$code"
}

trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- from shipkit.yml -----------------------------------------------------------------------------------------------------------

# Sourced by ./demo and tests/act/*: examples/shop as a repository of its own, and its workflow as act runs it.
#
# Whoever sources it has sourced target/bed.env, set `root` (this checkout) and `work` (a folder for logs and copies), and calls
# `trap clean_act EXIT` or the like.
# shellcheck shell=bash

shop=$work/shop
image=${SHIPKIT_IMAGE:-shipkit:dev}
# By this label, what a run leaves behind is found.
label=dev.shipkit.run=${work##*/}
declare -A commit_of
running=()

say() { printf '\n%s\n' "$*"; }
note() { printf '  %s\n' "$*"; }
fail() {
  printf '\n%s: not as expected: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Ends what was started, and removes what act leaves behind when it is ended itself.
clean_act() {
  local process container containers
  # Asked before act ends: it removes its containers itself, but not always their volumes.
  containers=$(docker ps --all --filter "label=$label" --format '{{.Names}}' 2> /dev/null || true)
  for process in "${running[@]}"; do kill -TERM "$process" 2> /dev/null || true; done
  for process in "${running[@]}"; do wait "$process" 2> /dev/null || true; done
  for container in $containers; do
    docker rm --force "$container" > /dev/null 2>&1 || true
    docker volume rm --force "$container" "$container-env" > /dev/null 2>&1 || true
  done
  docker volume rm act-toolcache > /dev/null 2>&1 || true
}

# shipkit as act reads it, and the shop as a repository without a commit.
make_shop() {
  rm -rf "$work"
  mkdir -p "$work/config/act" "$work/bin"
  # Without a file of its own act asks which images to use.
  touch "$work/config/act/actrc"
  "${CARGO_TARGET_DIR:-target}/$(rustc -vV | sed -n 's/^host: //p')/debug/rewrite" --ref v1 --image "$image" --act "$work/shipkit"
  cp -r "$root/examples/shop" "$shop"
  sed -i "s#localhost:5050/#$REGISTRY/#" "$shop/shipkit.yml" "$shop"/*/Dockerfile
  make_repository
}

# The folder `shop` becomes a repository.
make_repository() {
  git -C "$shop" init -q -b main
  git -C "$shop" config user.name "Shop Keeper"
  git -C "$shop" config user.email keeper@shop.example
  git -C "$shop" remote add origin https://github.com/example/shop
}

# Commits release `$1`: the tree of release `$2` with a patch.
commit_release() {
  local number=$1 base=$2 patch
  if [ "$number" != 1 ]; then
    git -C "$shop" checkout -q "${commit_of[$base]}" -- .
    patch=$(echo "$shop/demo/release-$number"-*.patch)
    git -C "$shop" apply "$patch"
  fi
  commit_all "release $number"
  commit_of[$number]=$(git -C "$shop" rev-parse HEAD)
}

commit_all() {
  git -C "$shop" add -A
  git -C "$shop" commit -q -m "$1"
}

# `run_workflow NAME EVENT FILE [OPTION...]`: act runs the workflow of the shop at its newest commit, as GitHub would for this
# event; the log is $work/NAME.log. Succeeds if the run is green.
run_workflow() {
  local name=$1 event=$2 file=$3
  shift 3
  (cd "$shop" && exec env XDG_CONFIG_HOME="$work/config" "$ACT" "$event" --rm --pull=false -P "ubuntu-latest=$RUNNER_IMAGE" \
    --local-repository "org/shipkit@v1=$work/shipkit" --action-cache-path "$work/act-cache" --eventpath "$file" \
    --env "SHIPKIT_REGISTRY=$SHIPKIT_REGISTRY" --container-options "--label $label" "$@") > "$work/$name.log" 2>&1 &
  running+=($!)
  wait $!
}

# The event of a push of the newest commit to main, as GitHub would send it.
push_event() {
  local commit
  commit=$(git -C "$shop" rev-parse HEAD)
  cat <<JSON
{"ref": "refs/heads/main", "before": "$(git -C "$shop" rev-parse --verify -q HEAD~1 || printf '%040d' 0)", "after": "$commit",
 "created": false, "deleted": false, "forced": false,
 $(repository_json),
 "head_commit": {"id": "$commit", "timestamp": "$(git -C "$shop" log -1 --format=%cI)", "message": "$(git -C "$shop" log -1 --format=%s)"},
 "pusher": {"name": "keeper"}}
JSON
}

# What every event says of the repository.
repository_json() {
  printf '"repository": {"name": "shop", "full_name": "example/shop", "default_branch": "main", "private": false,
    "html_url": "https://github.com/example/shop", "owner": {"login": "example"}}, "sender": {"login": "keeper"}'
}

# `... | value EXPRESSION`: what a Python expression makes of the JSON `r`.
value() { python3 -c 'import json, sys; print(eval(sys.argv[1], {"r": json.load(sys.stdin)}))' "$1"; }

# The sentence in which the red job of a run says why.
cause() { sed -n 's/.*::error[^:]*:://p; s/^.*❗  *::error[^:]*:://p' "$work/$1.log" | sed -n 1p; }

# Which jobs of a run ended how, in the order in which they ended.
jobs_of() {
  sed -n 's/^\[ship\/ship\/\([a-z0-9-]*\) *\] *🏁  Job \([a-z]*\)$/\1 \2/p' "$work/$1.log" |
    awk '{printf "%s%s %s", (NR > 1 ? ", " : ""), $1, $2 == "succeeded" ? "green" : "red"}'
}

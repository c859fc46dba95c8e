# Rollouts in a real control plane with a node that is played. Sourced by ./bench.
#
# Ours is the library as the program uses it. `kubernetes-crash` and `-done` are medians of $BENCH_ROUNDS, 10 by default; what the peer
# needs for a crash is its deadline, here 30 s (progressDeadlineSeconds; clusters have 600). `kubernetes-fifty` is the time of a release of
# fifty workloads by the time of one, each with the five seconds in which all has to stay as it should be (kubectl knows none),
# `kubernetes-requests` what a rollout of 30 pods asks, and its peer what one of 3 does.

kubernetes_names=(kubernetes-crash kubernetes-done kubernetes-fifty kubernetes-requests kubernetes-memory)

# kubernetes_row NAME VALUE UNIT PEER PEER_VALUE GOAL MOST: holds if VALUE is not more than MOST.
kubernetes_row() {
  echo "$1 $2 $3 $4 $5 $6 $(awk -v v="$2" -v m="$7" 'BEGIN {print v <= m ? "true" : "false"}')"
}

# Prints the rows, a line each, and `end`. In a shell of its own, so that whatever happens ends what it started.
kubernetes_figures() (
  set -e
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  triple=$(rustc -vV | sed -n 's/^host: //p')
  program=target/$triple/release/examples/rollouts
  export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
  echo "bench: a release build of the measurement takes some minutes when nothing is cached" >&2
  cargo build --quiet --locked --release --target "$triple" --package shipkit-kubernetes --example rollouts >&2
  if wanted kubernetes-crash; then
    for _ in $(seq "${BENCH_ROUNDS:-10}"); do "$program" crash > "$work/crash"; sed -n 1p "$work/crash" >> "$work/ours"; sed -n 2p "$work/crash" >> "$work/peer"; done
    kubernetes_row kubernetes-crash "$(median < "$work/ours")" s '"kubectl_rollout_status"' "$(median < "$work/peer")" '<_5' 5
  fi
  if wanted kubernetes-done; then
    for _ in $(seq "${BENCH_ROUNDS:-10}"); do "$program" done >> "$work/done"; done
    kubernetes_row kubernetes-done "$(median < "$work/done")" s null null '<_0.3' 0.3
  fi
  if wanted kubernetes-fifty; then
    "$program" fifty > "$work/fifty"
    echo "bench: one workload and fifty, each ours and by kubectl, in seconds: $(paste -sd ' ' "$work/fifty")" >&2
    read -r one peer_one many peer_many <<< "$(paste -sd ' ' "$work/fifty")"
    kubernetes_row kubernetes-fifty "$(awk -v a="$many" -v b="$one" 'BEGIN {printf "%.2f", a / b}')" x '"kubectl_apply_and_rollout_status"' \
      "$(awk -v a="$peer_many" -v b="$peer_one" 'BEGIN {printf "%.2f", a / b}')" '<=_1.5' 1.5
  fi
  if wanted kubernetes-requests; then
    "$program" requests > "$work/requests"
    few=$(sed -n 1p "$work/requests") many=$(sed -n 2p "$work/requests")
    # A watch that the API server ends is begun again, whatever there is to see.
    kubernetes_row kubernetes-requests "$many" x '"3_pods"' "$few" 'as_with_3_pods' $((few + 2))
  fi
  if wanted kubernetes-memory; then
    kubernetes_row kubernetes-memory "$("$program" memory)" MB null null '<_30' 30
  fi
  echo end
)

kubernetes_area() {
  if ! any_wanted "${kubernetes_names[@]}"; then return; fi
  if ! scripts/bed running; then trap 'scripts/bed down' EXIT; fi
  scripts/bed up kubernetes
  . target/bed.env
  add_rows kubernetes_figures "rollouts in a cluster"
}

kubernetes_area

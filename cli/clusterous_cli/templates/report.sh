# The controller's view of the cluster, for people without a way in: which nodes are ready, whether
# the operator is. Sent when it changes, and every five minutes.
view() {
    nodes=$(k3s kubectl get nodes --no-headers 2>/dev/null | while read -r name state _; do
        printf '"%s":"%s",' "$name" "$state"
    done)
    operator=$(k3s kubectl -n clusterous-system get deployments --no-headers 2>/dev/null |
        while read -r name ready _; do printf '"%s":"%s",' "$name" "$ready"; done)
    waiting=$(k3s kubectl get pods -A --no-headers 2>/dev/null |
        while read -r space pod _ state _; do
            case $state in Running | Completed) ;; *) echo "$space/$pod: $state" ;; esac
        done | head -n 5)
    printf '{"nodes":{%s},"operator":{%s},"waiting":%s}' "${nodes%,}" "${operator%,}" \
        "$(printf %s "$waiting" | quoted)"
}

watch_cluster() {
    last='' since=0 pause=2
    while :; do
        view >"$STATE/cluster.new" && mv "$STATE/cluster.new" "$STATE/cluster.json"
        now=$(date +%s)
        if [ "$(cat "$STATE/cluster.json")" != "$last" ] || [ $((now - since)) -ge 300 ]; then
            report ready && last=$(cat "$STATE/cluster.json") since=$now
        fi
        # Quick while the cluster comes up, cheap afterwards.
        [ "$now" -lt "$quick_until" ] || pause=15
        sleep "$pause"
    done
}

quick_until=$(($(date +%s) + 1200))
watch_cluster

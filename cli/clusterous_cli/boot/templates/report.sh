# The controller's view of the cluster, for people without a way in: which nodes are ready, how far
# the add-ons are, and why not further. Sent when it changes, and every five minutes.

# Only what is in our own namespaces counts: anybody may put a mark on pods of theirs.
OURS='or (eq .metadata.namespace "kube-system") (eq .metadata.namespace "@SPACE@")'
# What is asked of each kind, in the words of kubectl's templates:
# node NAME STATE
NODE='node {{.metadata.name}} {{$ready := "NotReady"}}{{range .status.conditions}}{{if and (eq .type "Ready") (eq .status "True")}}{{$ready = "Ready"}}{{end}}{{end}}{{$ready}}{{if .spec.unschedulable}},SchedulingDisabled{{end}}{{"\n"}}'
# waiting NAMESPACE/POD: "STATE"
WAITING='{{$pod := .metadata}}{{$why := ""}}{{range .status.initContainerStatuses}}{{with .state.waiting}}{{$why = .reason}}{{end}}{{end}}{{range .status.containerStatuses}}{{with .state.waiting}}{{$why = .reason}}{{end}}{{end}}{{if $pod.deletionTimestamp}}{{$why = "Terminating"}}{{else if not (or $why (eq .status.phase "Running" "Succeeded"))}}{{$why = or .status.reason .status.phase}}{{end}}{{with $why}}waiting {{$pod.namespace}}/{{$pod.name}}: {{printf "%q" .}}{{"\n"}}{{end}}'
# container NAMESPACE POD MARK CONTAINER RESTARTS REASON MESSAGE: each that is not ready
CONTAINERS='{{if '"$OURS"'}}{{range .status.containerStatuses}}{{if not .ready}}container {{$pod.namespace}} {{$pod.name}} {{with $pod.annotations}}{{or (index . "@MARK@") "-"}}{{else}}-{{end}} {{.name}} {{.restartCount}} {{range $state, $of := .state}}{{or $of.reason $state}} {{with $of.message}}{{printf "%q" .}}{{end}}{{end}}{{"\n"}}{{end}}{{end}}{{end}}'
# chart REASON: "MESSAGE", of what the operator's chart could not be installed for
CHART='{{if and (eq .metadata.name "clusterous") (eq .metadata.namespace "kube-system")}}{{range .status.conditions}}{{if and (eq .type "Failed") (eq .status "True")}}chart {{.reason}}: {{printf "%q" .message}}{{"\n"}}{{end}}{{end}}{{end}}'
# rollout MARK NAME GENERATION and, of the controller's pods, the generation it saw, how many are
# wanted, are new, are available, and are there at all: each workload that bears a mark
ROLLOUT='{{if '"$OURS"'}}{{$is := .status}}{{$meta := .metadata}}{{$spec := .spec}}{{with .spec.template.metadata.annotations}}{{with index . "@MARK@"}}rollout {{.}} {{$meta.name}} {{$meta.generation}} {{or $is.observedGeneration 0}} {{or $is.desiredNumberScheduled $spec.replicas 0}} {{or $is.updatedNumberScheduled $is.updatedReplicas 0}} {{or $is.numberAvailable $is.availableReplicas 0}} {{or $is.currentNumberScheduled $is.replicas 0}}{{"\n"}}{{end}}{{end}}{{end}}'
KINDS=nodes,pods,deployments,daemonsets,statefulsets,helmcharts.helm.cattle.io

# All of it at once: to start kubectl is what costs. What cannot be asked for is not told.
look() {
    tool kubectl get $KINDS -A -o go-template="{{range .items}}{{if eq .kind \"Node\"}}$NODE{{else if eq .kind \"Pod\"}}$WAITING$CONTAINERS{{else if eq .kind \"HelmChart\"}}$CHART{{else}}$ROLLOUT{{end}}{{end}}" \
        >"$STATE/seen" 2>/dev/null || : >"$STATE/seen"
}

seen() { sed -n "s/^$1 //p" "$STATE/seen"; }

# The containers of add-ons, and of the jobs that install charts, which are not ready.
troubles() {
    seen container |
        while read -r space pod mark container restarts reason message; do
            case "$mark/$space/$pod $reason" in
            *' Completed') continue ;;
            -/kube-system/helm-install-*) mark= ;;
            -/*) continue ;;
            esac
            printf ',{"pod":"%s","mark":"%s","container":"%s","restarts":%s,"reason":"%s","said":%s}' \
                "$pod" "$mark" "$container" "$restarts" "$reason" "$(last_words | cut -c 1-400 | quoted)"
        done
}

# Which digest of each add-on is where k3s finds it.
placed() {
    cut -d ' ' -f 1,2 "$ADDONS.placed" | uniq | while read -r addon version; do
        printf ',"%s":"%s"' "$addon" "$version"
    done
}

# The last line of the container's log; before it ever ran, what Kubernetes says of it.
last_words() {
    _said=
    case $restarts/$reason in
    0/Error) _said=$(tool kubectl -n "$space" logs "$pod" -c "$container" --tail=1 2>/dev/null) ;;
    0/*) ;;
    *) _said=$(tool kubectl -n "$space" logs "$pod" -c "$container" -p --tail=1 2>/dev/null) ;;
    esac </dev/null
    printf %s "${_said:-$message}"
}

# What is to be done when nodes have come or gone.
follow_nodes() {
    [ "$nodes" != "$followed" ] || return 0
    _done=1
    pools || _done=0
    names || _done=0
    orphans && [ $_done = 1 ] && followed=$nodes
} >/dev/null 2>&1

# Pools are told by the controller: what a kubelet says of its own node need not be true. Its own it
# knows by name: that a node is a control plane, k3s says some time after the node is there. The
# others it knows by the laptop, which writes @HOMES@ when it has started them.
pools() {
    tool kubectl label node "$NAME" @POOL@=controller --overwrite && successors || return 1
    _bare=$(tool kubectl get nodes -l '!@POOL@' -o name) || return 1
    [ -n "$_bare" ] || return 0
    s3 GET @HOMES@ $NOTHING -o "$STATE/pools" || return 1
    _late=
    for _node in $_bare; do
        pool=$(sed -n "s/^${_node#node/} i-[0-9a-f]* \([a-z0-9-]*\)\$/\1/p" "$STATE/pools")
        { [ -n "$pool" ] && tool kubectl label "$_node" "@POOL@=$pool"; } || _late=$_node
    done
    [ -z "$_late" ]
}

# Who has the state is the controller, and there is one: the node of another is of a machine that is
# no more. Kubernetes would find out itself, but only when it has asked the cloud.
successors() {
    tool kubectl get nodes -l @POOL@=controller --no-headers 2>/dev/null | while read -r name _; do
        [ "$name" = "$NAME" ] || tool kubectl delete node "$name" --wait=false </dev/null
    done
}

# The cluster's names are answered on workers, so that they resolve while the controller is away: by
# two where there are two; not on the machine for masters, which takes nothing else. k3s' own manifest
# says neither how many nor where, and leaves what does.
names() {
    _workers=$(tool kubectl get nodes -l '!node-role.kubernetes.io/control-plane,@POOL@!=@MASTER@' --no-headers) || return 1
    case $(echo "$_workers" | grep -c ' Ready ') in
    0) return 0 ;;
    1) _many=1 ;;
    *) _many=2 ;;
    esac
    tool kubectl -n kube-system patch deployment coredns -p "$(printf '{"spec":{"replicas":%s,"template":%s}}' $_many \
        '{"spec":{"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":100,"preference":{"matchExpressions":[{"key":"node-role.kubernetes.io/control-plane","operator":"DoesNotExist"}]}}]}}}}')"
}

# Pods of nodes that are no more: Kubernetes would collect them itself, but only a minute later.
HOMES='{{range .items}}{{if .spec.nodeName}}{{.spec.nodeName}} {{.metadata.namespace}} {{.metadata.name}}{{"\n"}}{{end}}{{end}}'
orphans() {
    tool kubectl get pods -A -o go-template="$HOMES" | while read -r node space pod; do
        case $nodes in *"\"$node\":"*) continue ;; esac
        # Asked once more, for the list may have failed: without an error, and without an answer.
        _found=$(tool kubectl get node "$node" --ignore-not-found -o name </dev/null) || return 1
        [ -n "$_found" ] ||
            tool kubectl -n "$space" delete pod "$pod" --grace-period=0 --force --wait=false </dev/null
    done
}

# What the volume server says of the volume, one line of JSON.
volume() {
    [ ! -s @STATUS@ ] || printf ',"volume":%s' "$(head -n 1 @STATUS@)"
}

# How full the volume with the state is, in percent: on a full one Kubernetes takes no change. What is
# reserved counts as used, also while it is given up.
kept() {
    _room=$(room 2>/dev/null) || return 0
    _used=${_room% *} _all=$((${_room% *} + ${_room#* }))
    [ -e "$RESERVE" ] || _used=$((_used + ROOM * 1024))
    _full=$(((_used * 100 + _all - 1) / _all))
    printf ',"kept":%s' $((_full > 100 ? 100 : _full))
}

view() {
    look
    nodes=$(seen node | while read -r name state; do printf '"%s":"%s",' "$name" "$state"; done)
    addons=$(placed 2>/dev/null)
    rollouts=$(seen rollout)
    waiting=$(seen waiting | tr -d '"' | head -n 5)
    chart=$(seen chart | sed 's/\\n/ /g; s/\\"/"/g; s/: "/: /; s/"$//')
    containers=$(troubles)
    printf '{"nodes":{%s},"addons":{%s},"rollouts":%s,"stuck":%s,' "${nodes%,}" "${addons#,}" \
        "$(printf %s "$rollouts" | quoted)" "$(tail -n 3 "$STATE/addons.trouble" 2>/dev/null | quoted)"
    printf '"waiting":%s,"chart":%s,"containers":[%s],"unsaved":%s%s%s}' "$(printf %s "$waiting" | quoted)" \
        "$(printf %s "$chart" | quoted)" "${containers#,}" \
        "$(tail -n 3 "$STATE/snapshot.trouble" 2>/dev/null | quoted)" "$(volume)" "$(kept)"
}

watch_cluster() {
    last='' since=0 pause=2 followed=
    while :; do
        _began=$(date +%s)
        keep_room
        view >"$STATE/cluster.new" && mv "$STATE/cluster.new" "$STATE/cluster.json"
        follow_nodes
        now=$(date +%s)
        if [ "$(cat "$STATE/cluster.json")" != "$last" ] || [ $((now - since)) -ge 300 ]; then
            report ready && last=$(cat "$STATE/cluster.json") since=$now
        fi
        # Quick while the cluster comes up, cheap afterwards.
        [ "$now" -lt "$quick_until" ] || pause=15
        rest "$pause" "$_began"
    done
}

# A new volume is its owner's alone, and programs run as any user. Its address may answer later than
# this machine is ready; it is mounted for that moment, and so that nothing waits for it for ever.
open_volume() {
    [ @VOLUME@ != none ] || return 0
    _place=$STATE/volume
    mkdir -p "$_place"
    until mount -t nfs4 -o @OPTIONS@ @VOLUME@:/ "$_place"; do
        sleep 5
    done
    [ -k "$_place" ] || chmod 1777 "$_place"
    umount "$_place"
}

open_volume >/dev/null 2>&1 &
quick_until=$(($(date +%s) + 1200))
follow_addons &
follow_snapshots &
@FOLLOW@
watch_cluster

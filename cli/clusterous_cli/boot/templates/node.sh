files() {
    cat <<'TABLE'
@FILES@
TABLE
}

# /etc/rancher/k3s/config.yaml; the tokens are in files that only root reads.
config() {
    cat <<CONFIG
node-name: $NAME
node-ip: $ADDRESS
kubelet-arg:
  - provider-id=aws:///$ZONE/$INSTANCE
@RESERVED@
@CONFIG@
CONFIG
}

unit() {
    cat <<UNIT
[Unit]
Description=Kubernetes of the cluster @CLUSTER@ (k3s @COMMAND@)
After=network-online.target
Wants=network-online.target
@NEEDS@
[Service]
Type=notify
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/k3s @COMMAND@
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=2s

[Install]
WantedBy=multi-user.target
UNIT
}

# What k3s lets its kubelet read beside its own. Where control groups are of version 2 Kubernetes ends
# all of a container for one process that asked for too much: a notebook's server with all kernels.
kubelet() {
    cat <<KUBELET
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
singleProcessOOMKill: true
KUBELET
}

# What Kubernetes mounts the volume with is the image's: without it every pod would wait for ever.
can_mount() {
    [ @CLIENT@ = none ] || [ -x "$ROOT/sbin/mount.nfs4" ] || {
        echo "This machine's image cannot mount the cluster's volume: it has no /sbin/mount.nfs4."
        echo "Choose one with an NFS client, such as Amazon Linux 2023 (Debian's and Ubuntu's lack nfs-common),"
        echo "or a cluster without a volume (volume: none)."
        return 1
    }
}

# Pods use the volume through the machine's mount alone, which binds them to their own folder and
# user; the file system itself asks nobody. Nor do they send other machines what these would take
# for their neighbours' own (VXLAN). Pods' packets come from the bridge; after translation of
# services' addresses and before any chain of Kubernetes' own that accepts.
shield() {
    # Where the image has no iptables k3s has, once it has unpacked itself; whether it can be run
    # at all shows when it is started.
    k3s kubectl version --client >/dev/null || :
    PATH=$PATH:/var/lib/rancher/k3s/data/current/bin/aux
@SHIELD@
    dropped FORWARD cni0 "-d @CIDR@ -p udp --dport 8472"
}

dropped() {
    _rule="$1 -i $2 $3 -j DROP"
    iptables -w -t mangle -C $_rule 2>/dev/null || iptables -w -t mangle -I $_rule
}

# Where the volume will be nobody writes before it is: it would fill the machine's own disk.
bar() {
    @BARRED@ || return 0
    mkdir -p "$ROOT@PLACE@"
    mountpoint -q "$ROOT@PLACE@" || chattr +i "$ROOT@PLACE@" || echo "the bare @PLACE@ can be written to"
}

# k3s passes over what it does not know in its configuration, and only its log tells.
understood() {
    if journalctl -u @UNIT@ -b --no-pager -o cat 2>/dev/null | grep 'Unknown flag .* found in config'; then
        echo "This k3s does not know all that clusterous configures: another version may"
        return 1
    fi
}

steps() {
    phase fetching
    can_mount
@FETCH@
    mkdir -p "$ROOT/etc/rancher/k3s" "$ROOT/etc/systemd/system" "$ROOT/var/lib/rancher/k3s/agent/etc/kubelet.conf.d"
    (umask 077 && config >"$ROOT/etc/rancher/k3s/config.yaml")
    kubelet >"$ROOT/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/50-clusterous.conf"
    unit >"$ROOT/etc/systemd/system/@UNIT@.service"
    # k3s waits until no archive is left to begin with, not for the last one: this holds nothing.
    : >"$ROOT/var/lib/rancher/k3s/agent/images/zz-last.txt"
    # While this file is there, archives that did not change are not imported at every start.
    : >>"$ROOT/var/lib/rancher/k3s/agent/images/.cache.json"
@PREPARE@
    bar
    shield
    phase starting
    start @UNIT@
    understood
@EXTRA@
    phase ready
}

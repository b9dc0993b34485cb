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
node-label:
  - clusterous.io/role=$ROLE
  - clusterous.io/pool=$ROLE
kubelet-arg:
  - provider-id=aws:///$ZONE/$INSTANCE
@CONFIG@
CONFIG
}

unit() {
    cat <<UNIT
[Unit]
Description=Kubernetes of the cluster @CLUSTER@ (k3s @COMMAND@)
After=network-online.target
Wants=network-online.target

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

steps() {
    phase fetching
    files | fetch_all
    mkdir -p "$ROOT/etc/rancher/k3s" "$ROOT/etc/systemd/system"
    (umask 077 && config >"$ROOT/etc/rancher/k3s/config.yaml")
    unit >"$ROOT/etc/systemd/system/@UNIT@.service"
    phase starting
    start @UNIT@
@EXTRA@
    phase ready
}

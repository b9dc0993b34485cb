# The shared volume, from the controller that serves it. By a unit of systemd's, which ends it in time
# when the machine is turned off, also where the server is gone already.
mount_unit() {
    cat <<UNIT
[Unit]
Description=The shared volume of the cluster @CLUSTER@
After=network-online.target
Wants=network-online.target

[Mount]
What=@SERVER@:/
Where=@PLACE@
Type=nfs4
Options=@OPTIONS@
TimeoutSec=90
LazyUnmount=yes
ForceUnmount=yes
UNIT
}

# Pods use the volume by @GATE@, which is there only while the volume is: none starts without it.
mount_volume() {
    mount_unit >"$ROOT/etc/systemd/system/home-data.mount"
    systemctl daemon-reload
    until systemctl start home-data.mount; do sleep 5; done
    ln -sfn @PLACE@ "$ROOT@GATE@"
}

    # For AWS's cloud controller: where it is, so that it need not ask, and whom the machine trusts.
    mkdir -p "$ROOT@FOLDER@"
    card=meta-data/network/interfaces/macs/$(imds meta-data/mac)
    cat >"$ROOT@FOLDER@/cloud.conf" <<CLOUD
[Global]
Region = "$REGION"
Zone = "$ZONE"
VPC = "$(imds "$card/vpc-id")"
SubnetID = "$(imds "$card/subnet-id")"
KubernetesClusterID = "@CLUSTER@"
CLOUD
    for bundle in /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/certs/ca-certificates.crt; do
        [ ! -r "$bundle" ] || cat "$bundle"
    done >"$ROOT@FOLDER@/ca.pem"

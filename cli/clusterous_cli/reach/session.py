"""What commands that work on a running cluster begin with: the cluster, the way in, its API."""

from dataclasses import dataclass

from clusterous_api import names
from clusterous_cli.aws import client
from clusterous_cli.cluster import record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.reach import kube, kubeconfig, ssh, tunnel


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open cluster, with the session in AWS that opened it."""

    cloud: client.Aws
    cluster: record.Cluster
    access: ssh.Access

    @property
    def identity(self) -> Identity:
        cluster = self.cluster
        return Identity(name=cluster.name, account=cluster.account, region=cluster.region)


def open_session(cloud: client.Aws, name: str | None) -> Session:
    """Find the cluster *name* (or the only one), and write down how to reach it."""
    cluster = record.open_cluster(name, cloud)
    return Session(cloud=cloud, cluster=cluster, access=ssh.prepare(access_to(cluster)))


def access_to(cluster: record.Cluster) -> ssh.Access:
    """The way in: the gateway by its public address, the nodes behind it by their private ones."""
    return ssh.Access(
        gateway=ssh.Host(name=ssh.GATEWAY, address=cluster.gateway_ip),
        nodes=tuple(
            ssh.Host(name=node.name, address=node.private_ip)
            for node in cluster.nodes
            if node.role != names.ROLE_GATEWAY and node.private_ip
        ),
        user=cluster.ssh_user,
        key=cluster.ssh_key,
        known_hosts=cluster.known_hosts,
        home=cluster.home,
    )


def link(cluster: record.Cluster) -> kubeconfig.Link:
    """How to reach the API server; written down for kubectl and its credential plugin."""
    with tunnel.locked(cluster.home):  # a tunnel that is just being opened keeps its port
        before = kubeconfig.read(cluster.home)
        made = kubeconfig.Link(
            cluster=cluster.name,
            port=kubeconfig.choose_port(cluster.uid, before),
            access=ssh.prepare(access_to(cluster)),
            certificate=cluster.admin_certificate,
            key=cluster.admin_key,
            server_ca=cluster.server_ca,
        )
        if before is not None and before.access != made.access:
            before.tunnel.close()  # it leads to machines that were replaced
        kubeconfig.write(made, cluster.kubeconfig)
    return made


def api_of(cluster: record.Cluster) -> kube.Api:
    """The Kubernetes API of *cluster*, through a tunnel that is opened if need be."""
    return api(link(cluster))


def api(reached: kubeconfig.Link) -> kube.Api:
    """The Kubernetes API, through a tunnel that is opened if need be."""
    reached.tunnel.ensure()
    return kubeconfig.api(reached)

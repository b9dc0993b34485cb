// Package agent makes this machine a node: containerd, kubelet, kube-proxy and the pod network.
package agent

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterous.test/parts/internal/process"
	"clusterous.test/parts/internal/settings"
	"clusterous.test/parts/internal/token"
)

const passwordFile = "/etc/rancher/node/password"

// Agent is one node.
type Agent struct {
	settings *settings.Settings
	group    *process.Group
	self     string // this very program: kubelet and kube-proxy are in it
	bin      string // programs that came with k3s
	dir      string // DATA-DIR/agent
	node     string
	address  netip.Addr
	cluster  Cluster
	url      string
}

// New reads what the settings say of this node.
func New(found *settings.Settings, group *process.Group, self, bin string) (*Agent, error) {
	node, address, err := Identity(found)
	if err != nil {
		return nil, err
	}
	return &Agent{
		settings: found, group: group, self: self, bin: bin, node: node, address: address,
		dir: filepath.Join(found.Text("data-dir", "/var/lib/rancher/k3s"), "agent"),
	}, nil
}

// Identity is the node's name and address: as configured, else the host's name and the address
// that packets to elsewhere would have.
func Identity(found *settings.Settings) (string, netip.Addr, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return "", netip.Addr{}, err
	}
	node := strings.ToLower(found.Text("node-name", hostname))
	if addresses := found.List("node-ip"); len(addresses) > 0 {
		address, err := netip.ParseAddr(addresses[0])
		return node, address, err
	}
	connection, err := net.Dial("udp4", "192.0.2.1:9") // sends nothing
	if err != nil {
		return "", netip.Addr{}, fmt.Errorf("no node-ip is set and there is no default route: %w", err)
	}
	defer connection.Close()
	address, err := netip.ParseAddrPort(connection.LocalAddr().String())
	return node, address.Addr(), err
}

// Run joins the cluster at *url* and calls *useful* once pods may come to the node. It returns
// when *ctx* ends or something cannot go on.
func (a *Agent) Run(ctx context.Context, url string, joinToken token.Token, useful func()) error {
	a.url = url
	for _, dir := range []string{a.dir, filepath.Join(a.dir, "etc"), filepath.Join(a.dir, "etc", "containerd"), filepath.Join(a.dir, "images"), filepath.Join(a.dir, "pod-manifests")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// As in k3s: nothing of the runtime starts before the server has answered.
	if err := a.join(ctx, joinToken); err != nil {
		return err
	}
	if err := a.startContainerd(ctx); err != nil {
		return err
	}
	if err := a.importImages(ctx); err != nil {
		return err
	}
	if err := a.startKubelet(); err != nil {
		return err
	}
	if !a.cluster.DisableProxy {
		if err := a.startProxy(); err != nil {
			return err
		}
	}
	return a.serve(ctx, useful)
}

func (a *Agent) join(ctx context.Context, joinToken token.Token) error {
	password, err := nodePassword(passwordFile)
	if err != nil {
		return err
	}
	supervisor, err := connect(ctx, a.url, joinToken, a.node, a.address.String(), password)
	if err != nil {
		return err
	}
	if a.cluster, err = supervisor.cluster(ctx); err != nil {
		return err
	}
	for name, base := range map[string]string{
		"serving-kubelet.crt": "serving-kubelet", "client-kubelet.crt": "client-kubelet",
		"client-kube-proxy.crt": "client-kube-proxy", "client-k3s-controller.crt": "client-k3s-controller",
	} {
		if err := supervisor.certificate(ctx, name, a.file(base)); err != nil {
			return err
		}
	}
	for _, name := range []string{"server-ca.crt", "client-ca.crt"} {
		if err := supervisor.fetch(ctx, name, a.file(name)); err != nil {
			return err
		}
	}
	for _, user := range []string{"kubelet", "kube-proxy", "k3s-controller"} {
		config := newKubeconfig(a.url, a.file("server-ca.crt"), a.file("client-"+user))
		if err := clientcmd.WriteToFile(config, a.kubeconfig(user)); err != nil {
			return err
		}
	}
	log.Printf("Node %s (%s) has its certificates from %s", a.node, a.address, a.url)
	return nil
}

func newKubeconfig(server, ca, base string) clientcmdapi.Config {
	config := *clientcmdapi.NewConfig()
	config.Clusters["local"] = &clientcmdapi.Cluster{Server: server, CertificateAuthority: ca}
	config.AuthInfos["user"] = &clientcmdapi.AuthInfo{ClientCertificate: base + ".crt", ClientKey: base + ".key"}
	config.Contexts["default"] = &clientcmdapi.Context{Cluster: "local", AuthInfo: "user"}
	config.CurrentContext = "default"
	return config
}

// serve keeps the pod network in step with the nodes until *ctx* ends, and tells when the node is
// of use: ready, and no longer tainted as one whose cloud is yet to speak.
func (a *Agent) serve(ctx context.Context, useful func()) error {
	config, err := clientcmd.BuildConfigFromFlags("", a.kubeconfig("k3s-controller"))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := a.waitForNode(ctx, client, func(*corev1.Node) bool { return true }); err != nil {
		return err
	}
	log.Printf("Node %s is registered", a.node)
	go func() {
		if a.waitForNode(ctx, client, IsUseful) == nil {
			log.Printf("Node %s is ready", a.node)
			useful()
		}
	}()
	if !a.cluster.DisablePolicy {
		go a.keepPolicies(ctx, client)
	}
	if a.cluster.FlannelBackend == "none" {
		<-ctx.Done()
		return nil
	}
	return a.keepNetwork(ctx, client)
}

func (a *Agent) waitForNode(ctx context.Context, client kubernetes.Interface, good func(*corev1.Node) bool) error {
	return process.WaitFor(ctx, 100*time.Millisecond, func() bool {
		node, err := client.CoreV1().Nodes().Get(ctx, a.node, metav1.GetOptions{})
		return err == nil && good(node)
	})
}

// CloudTaint is on every new node until the cloud controller has set its addresses.
const CloudTaint = "node.cloudprovider.kubernetes.io/uninitialized"

// IsUseful is whether pods may come to a node.
func IsUseful(node *corev1.Node) bool {
	if !isUntainted(node) {
		return false
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (a *Agent) file(name string) string       { return filepath.Join(a.dir, name) }
func (a *Agent) kubeconfig(user string) string { return a.file(user + ".kubeconfig") }
func (a *Agent) cniDir() string                { return filepath.Join(a.dir, "etc", "cni", "net.d") }

package agent

import (
	"bufio"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	credentialProviderBin    = "/var/lib/rancher/credentialprovider/bin"
	credentialProviderConfig = "/var/lib/rancher/credentialprovider/config.yaml"
	containerLogs            = "/var/log/pods"
)

func (a *Agent) startKubelet() error {
	content, err := yaml.Marshal(a.kubeletConfig())
	if err != nil {
		return err
	}
	config := filepath.Join(a.dir, "etc", "kubelet.yaml")
	if err := os.WriteFile(config, content, 0o600); err != nil {
		return err
	}
	argv := []string{
		a.self, "--config=" + config, "--kubeconfig=" + a.kubeconfig("kubelet"),
		"--hostname-override=" + a.node, "--node-ip=" + a.address.String(),
	}
	if labels := a.settings.List("node-label"); len(labels) > 0 {
		argv = append(argv, "--node-labels="+strings.Join(labels, ","))
	}
	if taints := a.settings.List("node-taint"); len(taints) > 0 {
		argv = append(argv, "--register-with-taints="+strings.Join(taints, ","))
	}
	if !a.cluster.DisableCloud {
		argv = append(argv, "--cloud-provider=external")
	}
	argv = append(argv, a.credentialProvider()...)
	argv = append(argv, dashed(a.settings.List("kubelet-arg"))...)
	return a.group.Start("kubelet", argv, a.paths(), os.Stderr)
}

// kubeletConfig differs from k3s's own where the machine does: cgroup v1, and a disk that is the
// host's, whose filling degree is not this node's doing.
func (a *Agent) kubeletConfig() map[string]any {
	return map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": a.file("client-ca.crt")},
		},
		"authorization":               map[string]any{"mode": "Webhook"},
		"tlsCertFile":                 a.file("serving-kubelet.crt"),
		"tlsPrivateKeyFile":           a.file("serving-kubelet.key"),
		"containerRuntimeEndpoint":    "unix://" + socket,
		"cgroupDriver":                "cgroupfs",
		"failCgroupV1":                false,
		"failSwapOn":                  false,
		"oomScoreAdj":                 0,
		"clusterDNS":                  []string{a.cluster.ClusterDNS},
		"clusterDomain":               a.cluster.ClusterDomain,
		"resolvConf":                  a.settings.Text("resolv-conf", resolvConf("/etc/resolv.conf")),
		"healthzBindAddress":          "127.0.0.1",
		"serializeImagePulls":         false,
		"syncFrequency":               "1m",
		"evictionHard":                map[string]string{"imagefs.available": "2%", "nodefs.available": "2%"},
		"imageGCHighThresholdPercent": 100,
		"imageGCLowThresholdPercent":  99,
		"podLogsDir":                  containerLogs,
		"staticPodPath":               filepath.Join(a.dir, "pod-manifests"),
	}
}

func (a *Agent) credentialProvider() []string {
	bin := a.settings.Text("image-credential-provider-bin-dir", credentialProviderBin)
	config := a.settings.Text("image-credential-provider-config", credentialProviderConfig)
	if _, err := os.Stat(config); err != nil {
		return nil
	}
	if _, err := os.Stat(bin); err != nil {
		return nil
	}
	return []string{"--image-credential-provider-bin-dir=" + bin, "--image-credential-provider-config=" + config}
}

func (a *Agent) startProxy() error {
	argv := []string{
		a.self, "--kubeconfig=" + a.kubeconfig("kube-proxy"), "--proxy-mode=iptables",
		"--hostname-override=" + a.node, "--cluster-cidr=" + a.cluster.ClusterCIDR,
		// The machine may not change the host's connection tracking.
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s",
		"--conntrack-tcp-timeout-close-wait=0s", "--oom-score-adj=0",
		"--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249",
	}
	argv = append(argv, dashed(a.settings.List("kube-proxy-arg"))...)
	return a.group.Start("kube-proxy", argv, a.paths(), os.Stderr)
}

func (a *Agent) paths() []string { return []string{"PATH=" + a.bin + ":" + os.Getenv("PATH")} }

// dashed turns the "name=value" of k3s's *-arg options into flags.
func dashed(arguments []string) []string {
	var flags []string
	for _, argument := range arguments {
		flags = append(flags, "--"+strings.TrimLeft(argument, "-"))
	}
	return flags
}

// resolvConf is what pods' own resolver is made from: a server on loopback means nothing in a pod.
func resolvConf(path string) string {
	const systemd = "/run/systemd/resolve/resolv.conf"
	file, err := os.Open(path)
	if err != nil {
		return systemd
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if address, err := netip.ParseAddr(fields[1]); err == nil && !address.IsLoopback() {
			return path
		}
	}
	if _, err := os.Stat(systemd); err == nil {
		return systemd
	}
	return path
}

package server

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"clusterous.test/parts/internal/pki"
	"clusterous.test/parts/internal/settings"
	"clusterous.test/parts/internal/token"
)

const kubeconfigPath = "/etc/rancher/k3s/k3s.yaml"

// options are the settings of a server, checked and with their defaults.
type options struct {
	dir            string // DATA-DIR/server
	node           string
	address        netip.Addr
	clusterCIDR    string
	serviceCIDR    string
	apiServiceIP   string
	clusterDNS     string
	clusterDomain  string
	flannelBackend string
	names          []string // for which the API's certificate is valid, besides the usual
	disabled       map[string]bool
	disableCloud   bool
	disablePolicy  bool
	secret         string
	agentSecret    string
}

func newOptions(found *settings.Settings, node string, address netip.Addr) (options, error) {
	o := options{
		dir:            filepath.Join(found.Text("data-dir", "/var/lib/rancher/k3s"), "server"),
		node:           node,
		address:        address,
		clusterCIDR:    found.Text("cluster-cidr", "10.42.0.0/16"),
		serviceCIDR:    found.Text("service-cidr", "10.43.0.0/16"),
		clusterDomain:  found.Text("cluster-domain", "cluster.local"),
		flannelBackend: found.Text("flannel-backend", "vxlan"),
		names:          found.List("tls-san"),
		disabled:       map[string]bool{},
		disableCloud:   found.Flag("disable-cloud-controller"),
		disablePolicy:  found.Flag("disable-network-policy"),
	}
	if _, err := netip.ParsePrefix(o.clusterCIDR); err != nil {
		return o, fmt.Errorf("cluster-cidr: %w", err)
	}
	services, err := netip.ParsePrefix(o.serviceCIDR)
	if err != nil {
		return o, fmt.Errorf("service-cidr: %w", err)
	}
	o.apiServiceIP = nth(services, 1).String()
	o.clusterDNS = found.Text("cluster-dns", nth(services, 10).String())
	for _, name := range found.List("disable") {
		o.disabled[name] = true
	}
	return o, nil
}

func nth(prefix netip.Prefix, n int) netip.Addr {
	address := prefix.Masked().Addr()
	for range n {
		address = address.Next()
	}
	return address
}

func (o options) tls(name string) string { return filepath.Join(o.dir, "tls", name) }

// authorities sign everything in the cluster.
type authorities struct {
	server, client, requestHeader *pki.Authority
}

func (o options) makeAuthorities() (authorities, error) {
	var made authorities
	for _, dir := range []string{"tls", "cred", "db", "manifests"} {
		if err := os.MkdirAll(filepath.Join(o.dir, dir), 0o700); err != nil {
			return made, err
		}
	}
	var problems [4]error
	made.server, problems[0] = pki.LoadOrMake(o.tls(""), "server-ca")
	made.client, problems[1] = pki.LoadOrMake(o.tls(""), "client-ca")
	made.requestHeader, problems[2] = pki.LoadOrMake(o.tls(""), "request-header-ca")
	problems[3] = pki.EnsureServiceKey(o.tls("service.key"))
	return made, errors.Join(problems[:]...)
}

// issueCertificates makes those that the server's own programs show each other.
func (o options) issueCertificates(by authorities) error {
	masters := []string{"system:masters"}
	hosts := append([]string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + o.clusterDomain, "localhost", "127.0.0.1", "::1",
		o.node, o.address.String(), o.apiServiceIP,
	}, o.names...)
	for name, issue := range map[string]struct {
		by      *pki.Authority
		subject pki.Subject
	}{
		"serving-kube-apiserver": {by.server, pki.Subject{User: "kube-apiserver", Hosts: hosts}},
		"client-admin":           {by.client, pki.Subject{User: "system:admin", Groups: masters}},
		"client-supervisor":      {by.client, pki.Subject{User: "system:k3s-supervisor", Groups: masters}},
		"client-kube-apiserver":  {by.client, pki.Subject{User: "system:apiserver", Groups: masters}},
		"client-controller":      {by.client, pki.Subject{User: "system:kube-controller-manager"}},
		"client-scheduler":       {by.client, pki.Subject{User: "system:kube-scheduler"}},
		"client-auth-proxy":      {by.requestHeader, pki.Subject{User: "system:auth-proxy"}},
	} {
		if err := issue.by.Issue(o.tls(name), issue.subject); err != nil {
			return err
		}
	}
	for _, user := range []string{"admin", "supervisor", "controller", "scheduler"} {
		config := o.localConfig(user)
		if err := clientcmd.WriteToFile(config, o.kubeconfig(user)); err != nil {
			return err
		}
	}
	return nil
}

func (o options) kubeconfig(user string) string {
	return filepath.Join(o.dir, "cred", user+".kubeconfig")
}

// localConfig goes to the API server itself, past the supervisor.
func (o options) localConfig(user string) clientcmdapi.Config {
	config := *clientcmdapi.NewConfig()
	config.Clusters["local"] = &clientcmdapi.Cluster{
		Server: "https://" + apiAddress, CertificateAuthority: o.tls("server-ca.crt"),
	}
	config.AuthInfos["user"] = &clientcmdapi.AuthInfo{
		ClientCertificate: o.tls("client-" + user + ".crt"), ClientKey: o.tls("client-" + user + ".key"),
	}
	config.Contexts["default"] = &clientcmdapi.Context{Cluster: "local", AuthInfo: "user"}
	config.CurrentContext = "default"
	return config
}

// writeKubeconfig is for people: everything is in the one file.
func (o options) writeKubeconfig(path, mode string, by authorities) error {
	if mode == "" {
		mode = "0600"
	}
	permissions, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		return fmt.Errorf("write-kubeconfig-mode is no octal number: %w", err)
	}
	cert, err := os.ReadFile(o.tls("client-admin.crt"))
	if err != nil {
		return err
	}
	key, err := os.ReadFile(o.tls("client-admin.key"))
	if err != nil {
		return err
	}
	config := *clientcmdapi.NewConfig()
	config.Clusters["default"] = &clientcmdapi.Cluster{
		Server: "https://127.0.0.1:6443", CertificateAuthorityData: by.server.CertPEM,
	}
	config.AuthInfos["default"] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts["default"] = &clientcmdapi.Context{Cluster: "default", AuthInfo: "default"}
	config.CurrentContext = "default"
	if err := clientcmd.WriteToFile(config, path); err != nil {
		return err
	}
	return os.Chmod(path, os.FileMode(permissions))
}

// takeTokens settles the secrets of servers and agents, and writes the files that k3s writes.
func (o *options) takeTokens(found *settings.Settings, by authorities) error {
	configured, err := found.Secret("token")
	if err != nil {
		return err
	}
	path := filepath.Join(o.dir, "token")
	if configured == "" {
		if configured, err = savedToken(path); err != nil {
			return err
		}
	}
	if o.secret, err = ownSecret(configured, by.server.CertPEM); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	agent, err := found.Secret("agent-token")
	if err != nil {
		return err
	}
	o.agentSecret = o.secret
	if agent != "" {
		if o.agentSecret, err = ownSecret(agent, by.server.CertPEM); err != nil {
			return fmt.Errorf("agent-token: %w", err)
		}
	}
	return o.writeTokens(by.server.CertPEM)
}

func savedToken(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(content)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return "", err
	}
	return hex.EncodeToString(secret), nil
}

func ownSecret(configured string, caPEM []byte) (string, error) {
	parsed, err := token.Parse(configured)
	if err != nil {
		return "", err
	}
	return parsed.Secret, parsed.CheckCA(caPEM)
}

func (o *options) writeTokens(caPEM []byte) error {
	server, err := token.Format(caPEM, token.Server, o.secret)
	if err != nil {
		return err
	}
	agent, err := token.Format(caPEM, token.Node, o.agentSecret)
	if err != nil {
		return err
	}
	if o.agentSecret == o.secret {
		agent = server // as k3s writes it when there is no agent-token
	}
	for name, text := range map[string]string{"token": server, "agent-token": agent, "node-token": server} {
		if err := os.WriteFile(filepath.Join(o.dir, name), []byte(text+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// encryptionConfig makes the API server encrypt Secrets before they reach the store.
func (o options) encryptionConfig() (string, error) {
	path := filepath.Join(o.dir, "cred", "encryption-config.json")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return "", err
	}
	provider := map[string]any{"aescbc": map[string]any{
		"keys": []any{map[string]any{"name": "aescbckey", "secret": base64.StdEncoding.EncodeToString(key)}},
	}}
	content, err := yaml.Marshal(map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
		"resources": []any{map[string]any{
			"resources": []any{"secrets"},
			"providers": []any{provider, map[string]any{"identity": map[string]any{}}},
		}},
	})
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, content, 0o600)
}

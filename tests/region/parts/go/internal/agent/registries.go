package agent

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

// registries is /etc/rancher/k3s/registries.yaml.
type registries struct {
	Mirrors map[string]mirror   `json:"mirrors"`
	Configs map[string]registry `json:"configs"`
}

type mirror struct {
	Endpoints []string          `json:"endpoint"`
	Rewrites  map[string]string `json:"rewrite"`
}

type registry struct {
	Auth *auth  `json:"auth"`
	TLS  *trust `json:"tls"`
}

type auth struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identity_token"`
}

type trust struct {
	CAFile             string `json:"ca_file"`
	CertFile           string `json:"cert_file"`
	KeyFile            string `json:"key_file"`
	InsecureSkipVerify bool   `json:"insecure_skip_verify"`
}

func readRegistries(path string) (registries, error) {
	var found registries
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	if err := yaml.UnmarshalStrict(content, &found); err != nil {
		return found, fmt.Errorf("%s: %w", path, err)
	}
	for host, mirror := range found.Mirrors {
		if len(mirror.Rewrites) > 0 {
			return found, fmt.Errorf("%s: the k3s stand-in has no rewrite (mirror %s)", path, host)
		}
	}
	return found, nil
}

// hostsFiles is containerd's hosts.toml for every registry that is spoken of, by folder name.
func (r registries) hostsFiles() map[string]string {
	files := map[string]string{}
	for host, mirror := range r.Mirrors {
		files[folder(host)] = r.hosts(host, mirror.Endpoints)
	}
	for host := range r.Configs {
		if _, isMirrored := r.Mirrors[host]; !isMirrored {
			files[folder(host)] = r.hosts(host, nil)
		}
	}
	return files
}

func folder(host string) string {
	if host == "*" {
		return "_default"
	}
	return host
}

func (r registries) hosts(host string, endpoints []string) string {
	var text strings.Builder
	if host != "*" {
		fmt.Fprintf(&text, "server = %q\n", serverOf(host))
	}
	seen := map[string]bool{}
	for _, endpoint := range endpoints {
		seen[endpoint] = true
		r.writeHost(&text, withPath(endpoint))
	}
	// The registry itself comes last, with its own settings.
	if own := serverOf(host); host != "*" && !seen[own] {
		r.writeHost(&text, withPath(own))
	}
	return text.String()
}

func serverOf(host string) string {
	if host == "docker.io" {
		return "https://registry-1.docker.io"
	}
	return "https://" + host
}

func withPath(endpoint string) string {
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	endpoint = strings.TrimRight(endpoint, "/")
	if parsed, err := url.Parse(endpoint); err == nil && parsed.Path == "" {
		endpoint += "/v2"
	}
	return endpoint
}

func (r registries) writeHost(text *strings.Builder, endpoint string) {
	fmt.Fprintf(text, "\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n  override_path = true\n", endpoint)
	parsed, err := url.Parse(endpoint)
	if err != nil {
		return
	}
	settings := r.Configs[parsed.Host].TLS
	if settings == nil {
		return
	}
	if settings.InsecureSkipVerify {
		text.WriteString("  skip_verify = true\n")
	}
	if settings.CAFile != "" {
		fmt.Fprintf(text, "  ca = [%q]\n", settings.CAFile)
	}
	if settings.CertFile != "" {
		fmt.Fprintf(text, "  client = [[%q, %q]]\n", settings.CertFile, settings.KeyFile)
	}
}

func (r registries) write(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for name, content := range r.hostsFiles() {
		path := filepath.Join(dir, name, "hosts.toml")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return os.MkdirAll(dir, 0o700)
}

// credentials is the part of containerd's configuration that names users and passwords.
func (r registries) credentials() string {
	var text strings.Builder
	var hosts []string
	for host := range r.Configs {
		hosts = append(hosts, host)
	}
	sort.Strings(hosts)
	for _, host := range hosts {
		found := r.Configs[host].Auth
		if found == nil {
			continue
		}
		fmt.Fprintf(&text, "\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.%q.auth]\n", host)
		for _, field := range [][2]string{
			{"username", found.Username}, {"password", found.Password},
			{"auth", found.Auth}, {"identitytoken", found.IdentityToken},
		} {
			if field[1] != "" {
				fmt.Fprintf(&text, "  %s = %q\n", field[0], field[1])
			}
		}
	}
	return text.String()
}

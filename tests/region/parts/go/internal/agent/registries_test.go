package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func read(t *testing.T, content string) (registries, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registries.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return readRegistries(path)
}

func TestMirrorsComeBeforeTheRegistryItself(t *testing.T) {
	found, err := read(t, `
mirrors:
  docker.io: {endpoint: ["https://mirror.example:5000", "http://other.example/base"]}
  "*": {endpoint: ["https://all.example"]}
configs:
  "mirror.example:5000":
    auth: {username: me, password: pass}
    tls: {ca_file: /etc/ca.pem, cert_file: /c.pem, key_file: /k.pem}
  alone.example:
    tls: {insecure_skip_verify: true}
`)
	if err != nil {
		t.Fatal(err)
	}

	files := found.hostsFiles()

	docker := files["docker.io"]
	var last int
	for _, want := range []string{
		`server = "https://registry-1.docker.io"`, `[host."https://mirror.example:5000/v2"]`,
		`ca = ["/etc/ca.pem"]`, `client = [["/c.pem", "/k.pem"]]`,
		`[host."http://other.example/base"]`, `[host."https://registry-1.docker.io/v2"]`,
	} {
		at := strings.Index(docker, want)
		if at < last {
			t.Fatalf("%s is missing or in the wrong place:\n%s", want, docker)
		}
		last = at
	}
	if !strings.Contains(files["alone.example"], "skip_verify = true") {
		t.Error(files["alone.example"])
	}
	if all := files["_default"]; strings.Contains(all, "server =") || !strings.Contains(all, "all.example/v2") {
		t.Error(all)
	}
	if credentials := found.credentials(); !strings.Contains(credentials, `configs."mirror.example:5000".auth`) ||
		!strings.Contains(credentials, `password = "pass"`) {
		t.Error(credentials)
	}
}

func TestWhatTheStandInCannotDoIsRefused(t *testing.T) {
	for name, content := range map[string]string{
		"unknown key": "mirrorz: {}",
		"rewrite":     "mirrors: {docker.io: {endpoint: [a], rewrite: {a: b}}}",
	} {
		if _, err := read(t, content); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestNoFileIsNoRegistries(t *testing.T) {
	found, err := readRegistries(filepath.Join(t.TempDir(), "none"))

	if err != nil || len(found.hostsFiles()) != 0 || found.credentials() != "" {
		t.Fatalf("%+v, %v", found, err)
	}
}

func TestResolversOnLoopbackAreNotForPods(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	for content, usable := range map[string]bool{
		"search x\nnameserver 10.0.0.2\n":              true,
		"nameserver 127.0.0.53\nnameserver 10.0.0.2\n": true,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := resolvConf(path); (got == path) != usable {
			t.Errorf("%q: %s", content, got)
		}
	}
}

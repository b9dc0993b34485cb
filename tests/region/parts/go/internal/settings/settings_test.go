package settings

import (
	"log"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func load(t *testing.T, role Role, files map[string]string, environment map[string]string, args ...string) (*Settings, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(role, Sources{
		Args: args, ConfigFile: filepath.Join(dir, "config.yaml"),
		Environment: func(name string) string { return environment[name] },
	})
}

func TestSourcesAreMergedAsK3sDoes(t *testing.T) {
	files := map[string]string{
		"config.yaml":           "token: of-file\nnode-name: one\ndisable: [traefik, servicelb]\nwrite-kubeconfig-mode: \"0640\"\n",
		"config.yaml.d/10.yaml": "node-name: two\ndisable+: [metrics-server]\nkubelet-arg: [\"max-pods=5\"]\n",
		"config.yaml.d/README":  "not: yaml of ours",
	}
	environment := map[string]string{"K3S_TOKEN": "of-environment"}

	found, err := load(t, Server, files, environment, "--node-name=three", "--kubelet-arg", "v=2", "--cluster-init")

	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"token": "of-environment", "node-name": "three", "write-kubeconfig-mode": "0640",
	} {
		if got := found.Text(key, ""); got != want {
			t.Errorf("%s is %q, not %q", key, got, want)
		}
	}
	for key, want := range map[string][]string{
		"disable": {"traefik", "servicelb", "metrics-server"}, "kubelet-arg": {"max-pods=5", "v=2"},
	} {
		if got := found.List(key); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %q, not %q", key, got, want)
		}
	}
	if !found.Flag("cluster-init") || found.Flag("secrets-encryption") {
		t.Error("flags are wrong")
	}
}

func TestCommasSeparateValuesButNotArguments(t *testing.T) {
	files := map[string]string{"config.yaml": "disable: \"traefik, servicelb\"\nkubelet-arg: \"eviction-hard=a<1%,b<2%\"\n"}

	found, err := load(t, Server, files, nil)

	if err != nil {
		t.Fatal(err)
	}
	if got := found.List("disable"); !reflect.DeepEqual(got, []string{"traefik", "servicelb"}) {
		t.Errorf("disable is %q", got)
	}
	if got := found.List("kubelet-arg"); !reflect.DeepEqual(got, []string{"eviction-hard=a<1%,b<2%"}) {
		t.Errorf("kubelet-arg is %q", got)
	}
}

func TestSecretsComeFromFilesToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("hidden\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	found, err := load(t, Server, map[string]string{"config.yaml": "agent-token-file: " + path}, nil)

	if err != nil {
		t.Fatal(err)
	}
	if secret, err := found.Secret("agent-token"); err != nil || secret != "hidden" {
		t.Fatalf("secret %q, error %v", secret, err)
	}
}

// TestUnknownKeysOfAFileArePassedOver with the words by which a node's boot finds out.
func TestUnknownKeysOfAFileArePassedOver(t *testing.T) {
	var said strings.Builder
	log.SetOutput(&said)
	defer log.SetOutput(os.Stderr)
	files := map[string]string{"config.yaml": "server: https://x\nnode-nam: a\nnode-name: b\ndisable: [c]\n"}

	found, err := load(t, Agent, files, nil)

	if err != nil || found.Text("node-name", "") != "b" {
		t.Fatalf("%+v %v", found, err)
	}
	for _, key := range []string{"node-nam", "disable"} {
		if want := "Unknown flag --" + key + " found in config.yaml, skipping"; !strings.Contains(said.String(), want) {
			t.Errorf("%q is missing in %q", want, said.String())
		}
	}
}

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		role Role
		file string
		args []string
		says string
	}{
		"unknown flag":   {Server, "", []string{"--nonsense"}, `"nonsense"`},
		"server's flag":  {Agent, "server: https://x", []string{"--disable", "a"}, "for k3s server"},
		"no server":      {Agent, "token: x", nil, "--server is required"},
		"second server":  {Server, "server: https://x:6443", nil, "one server only"},
		"other backend":  {Server, "flannel-backend: wireguard-native", nil, "vxlan"},
		"other store":    {Server, "datastore-endpoint: mysql://x", nil, "SQLite"},
		"no truth value": {Server, "cluster-init: maybe", nil, "true or false"},
		"list for text":  {Server, "token: [a, b]", nil, "one value"},
		"missing value":  {Server, "", []string{"--token"}, "needs a value"},
		"stray argument": {Server, "", []string{"stray"}, "unexpected"},
		"broken yaml":    {Server, "a: b: c", nil, "config.yaml"},
	} {
		_, err := load(t, test.role, map[string]string{"config.yaml": test.file}, nil, test.args...)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"clusterous.test/parts/internal/process"
)

const (
	socket       = "/run/k3s/containerd/containerd.sock"
	pauseImage   = "rancher/mirrored-pause:3.6"
	imageSpace   = "k8s.io"
	registryFile = "/etc/rancher/k3s/registries.yaml"
)

// restrict_oom_score_adj: a machine without CAP_SYS_RESOURCE cannot lower anybody's score, and
// every sandbox asks for -998.
const containerdConfig = `version = 2
root = %q
state = "/run/k3s/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = %q

[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  stream_server_port = "10010"
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  restrict_oom_score_adj = true
  sandbox_image = %q

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  disable_snapshot_annotations = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = %q
  conf_dir = %q

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = %q
%s`

// startContainerd starts it and waits until it answers.
func (a *Agent) startContainerd(ctx context.Context) error {
	path := a.settings.Text("private-registry", registryFile)
	registries, err := readRegistries(path)
	if err != nil {
		return err
	}
	etc := filepath.Join(a.dir, "etc", "containerd")
	hosts := filepath.Join(etc, "certs.d")
	if err := registries.write(hosts); err != nil {
		return err
	}
	root := filepath.Join(a.dir, "containerd")
	config := fmt.Sprintf(containerdConfig, root, socket, a.settings.Text("pause-image", pauseImage),
		a.bin, a.cniDir(), hosts, registries.credentials())
	configPath := filepath.Join(etc, "config.toml")
	for _, dir := range []string{root, "/run/k3s/containerd", a.cniDir()} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
	}
	if err := os.WriteFile(configPath, []byte(config), 0o600); err != nil {
		return err
	}
	output, err := os.OpenFile(filepath.Join(root, "containerd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer output.Close()
	argv := []string{filepath.Join(a.bin, "containerd"), "-c", configPath, "--log-level", "warn"}
	if err := a.group.Start("containerd", argv, nil, output); err != nil {
		return err
	}
	return process.WaitFor(ctx, 50*time.Millisecond, a.containerdAnswers)
}

func (a *Agent) containerdAnswers() bool {
	connection, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	_ = connection.Close()
	return a.ctr("plugins", "list", "-q").Run() == nil
}

func (a *Agent) ctr(arguments ...string) *exec.Cmd {
	base := []string{"--address", socket, "--namespace", imageSpace}
	return exec.Command(filepath.Join(a.bin, "ctr"), append(base, arguments...)...)
}

func (a *Agent) importArchive(path string) error {
	unpack := unpackers[suffix(path)]
	if unpack == nil {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	stream, err := unpack(file)
	if err != nil {
		return err
	}
	defer stream.Close()
	command := a.ctr("images", "import", "-")
	command.Stdin = stream
	if output, err := command.CombinedOutput(); err != nil {
		return errors.Join(err, errors.New(strings.TrimSpace(string(output))))
	}
	return nil
}

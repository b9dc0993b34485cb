// Command k3s is the one file that a node downloads: this launcher with an archive of all programs
// behind it, which it unpacks at its first start, as the real k3s does.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// version tells the stand-in from the real thing.
const version = "v1.35.4+k3s1-region (stand-in)"

const usage = `k3s stand-in: Kubernetes as k3s runs it, for the simulated region

Usage: k3s server|agent [options]     run a node; see /etc/rancher/k3s/config.yaml
       k3s kubectl|ctr|helm [args]    run a program that comes with it
       k3s --version
`

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "k3s: %v\n", err)
		os.Exit(1)
	}
}

// run goes by the name under which it was called, or by the first argument.
func run(args []string) error {
	name := filepath.Base(args[0])
	if _, isProgram := programs[name]; !isProgram {
		if len(args) < 2 {
			fmt.Print(usage)
			return nil
		}
		name, args = args[1], args[1:]
	}
	switch name {
	case "--version", "-v", "version":
		fmt.Printf("k3s version %s\ngo version %s\n", version, runtime.Version())
		return nil
	case "--help", "-h", "help":
		fmt.Print(usage)
		return nil
	}
	prepare, isProgram := programs[name]
	if !isProgram {
		return fmt.Errorf("the stand-in has no %q", name)
	}
	bin, err := unpacked()
	if err != nil {
		return err
	}
	argv, environment := prepare(bin, args)
	return syscall.Exec(argv[0], argv[1:], environment)
}

// programs gives for each name the file to run, its argv and its environment.
var programs = map[string]func(bin string, args []string) (argv, environment []string){
	"server":  node,
	"agent":   node,
	"kubectl": kubectl,
	"helm":    kubectl,
	"ctr":     ctr,
}

func node(bin string, args []string) ([]string, []string) {
	path := "PATH=" + bin + ":" + os.Getenv("PATH")
	return append([]string{filepath.Join(bin, "kube"), "k3s"}, args...), append(without("PATH"), path)
}

func kubectl(bin string, args []string) ([]string, []string) {
	environment := os.Environ()
	if os.Getenv("KUBECONFIG") == "" {
		environment = append(without("KUBECONFIG"), "KUBECONFIG=/etc/rancher/k3s/k3s.yaml")
	}
	name := filepath.Base(args[0])
	return append([]string{filepath.Join(bin, name), name}, args[1:]...), environment
}

func ctr(bin string, args []string) ([]string, []string) {
	environment := os.Environ()
	for name, value := range map[string]string{
		"CONTAINERD_ADDRESS":   "/run/k3s/containerd/containerd.sock",
		"CONTAINERD_NAMESPACE": "k8s.io",
	} {
		if os.Getenv(name) == "" {
			environment = append(environment, name+"="+value)
		}
	}
	return append([]string{filepath.Join(bin, "ctr"), "ctr"}, args[1:]...), environment
}

func without(name string) []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, name+"=") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// unpacked is the folder with the programs of exactly this file.
func unpacked() (string, error) {
	executable, err := os.Executable()
	if err != nil {
		return "", err
	}
	file, err := os.Open(executable)
	if err != nil {
		return "", err
	}
	defer file.Close()
	found, err := findArchive(file)
	if err != nil {
		return "", err
	}
	root := dataRoot()
	dir := filepath.Join(root, found.hash)
	if _, err := os.Stat(dir); err == nil {
		return filepath.Join(dir, "bin"), nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(filepath.Join(root, ".lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	return filepath.Join(dir, "bin"), unpackOnce(found, root, dir)
}

// dataRoot lets somebody who is not root use kubectl and helm.
func dataRoot() string {
	if home, err := os.UserHomeDir(); err == nil && os.Geteuid() != 0 {
		return filepath.Join(home, ".rancher", "k3s", "data")
	}
	return "/var/lib/rancher/k3s/data"
}

func unpackOnce(found archive, root, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil // another one was faster
	}
	half := dir + "-tmp"
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	if err := found.unpack(half); err != nil {
		return err
	}
	if err := os.Rename(half, dir); err != nil {
		return err
	}
	current := filepath.Join(root, "current")
	if err := os.Remove(current); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(dir, current)
}

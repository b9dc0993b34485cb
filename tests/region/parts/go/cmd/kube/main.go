// Command kube is the Kubernetes node and control plane in one file: each program answers to its
// own name, given as argv[0] or as the first argument. As k3s it starts them all.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"clusterous.test/parts/internal/kine"
)

// programs makes only the command that is asked for: making one registers its flags globally.
var programs = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kine":                    kineCommand,
}

func main() {
	name := filepath.Base(os.Args[0])
	if name == "k3s" {
		os.Exit(runK3s(os.Args[1:]))
	}
	if _, known := programs[name]; !known && len(os.Args) > 1 {
		name = os.Args[1]
		os.Args = os.Args[1:]
	}
	program, known := programs[name]
	if !known {
		fmt.Fprintf(os.Stderr, "kube: no program %q here, only %s\n", name, strings.Join(names(), ", "))
		os.Exit(2)
	}
	os.Exit(cli.Run(program()))
}

func names() []string {
	var all []string
	for name := range programs {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}

func kineCommand() *cobra.Command {
	var path, listen string
	command := &cobra.Command{
		Use:           "kine",
		Short:         "The etcd API on an SQLite file",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			endpoint, err := kine.Default(path)
			if err != nil {
				return err
			}
			return kine.Serve(ctx, endpoint, listen, func() { fmt.Fprintln(os.Stderr, "kine is ready") })
		},
	}
	command.Flags().StringVar(&path, "path", "state.db", "the SQLite file")
	command.Flags().StringVar(&listen, "listen-address", "127.0.0.1:2379", "host:port or unix:///path")
	return command
}
